"""Runs of matvlm: what of them is still to be done, and several at a time."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait

from .rows import SEEDED, TEACHER

BENCHMARKS = ["mme", "textvqa", "gqa", "pope"]
# Turns between a picture and the question about it: as far as the embedded teacher has learned.
NEEDLE = "0,1,2,4,6"
# Right answers have fewer; a student that has learned little may run on.
LONGEST_ANSWER = 16


class Failure(Exception):
    pass


class Program:
    """A built matvlm. Its processes get no signals from the terminal, only from here."""

    def __init__(self, path, device, parallel):
        self.path, self.device = path.resolve(), device
        self.threads = max(1, (os.cpu_count() or 1) // parallel)
        self.processes, self.lock, self.stopped = set(), threading.Lock(), False

    def run(self, arguments):
        """Standard output of a command that has to succeed."""
        command = [str(self.path), *arguments]
        with self.lock:
            if self.stopped:
                raise Failure("stopped")
            process = subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                start_new_session=True)
            self.processes.add(process)
        try:
            output, errors = process.communicate()
        finally:
            with self.lock:
                self.processes.discard(process)
        if process.returncode != 0:
            raise Failure(
                f"{' '.join(command)}\nended with exit code {process.returncode}:\n"
                + "\n".join(errors.strip().splitlines()[-10:]))
        return output

    def compute(self, arguments):
        machine = ["--device", self.device, "--threads", str(self.threads)]
        return self.run([*arguments, *machine])

    def stop(self):
        """Ends what runs; an unfinished run saves a checkpoint first."""
        with self.lock:
            self.stopped = True
            for process in self.processes:
                process.send_signal(signal.SIGTERM)

    def seedings(self):
        text = re.sub(r"\s+", " ", self.run(["distill", "--help"]))
        found = re.search(r"--seeding \S+ How mixers start: ([^.]*)\.", text)
        if not found:
            raise Failure(f"{self.path}: 'distill --help' does not list the seedings")
        return found[1].split(", ")


class Jobs:
    def __init__(self, program, output, updates, pictures):
        self.program, self.output = program, output
        self.updates, self.pictures = updates, pictures

    @property
    def data(self):
        return self.output / f"pictures-{self.pictures}"

    def folder(self, name, seed):
        return self.output / f"seed-{seed}" / name

    def run(self, rows, seeds, parallel):
        self.output.mkdir(parents=True, exist_ok=True)
        if not self.data.exists():
            # Held out is a tenth.
            self.program.run([
                "shapes", "--benchmarks", "--count", str(10 * self.pictures),
                "--output", str(self.data)])
        # All rows of a seed before the next seed: what there is can be compared at any time.
        work = [(TEACHER, None)] + [(name, seed) for seed in seeds for name in rows]
        with ThreadPoolExecutor(parallel) as pool:
            futures = [pool.submit(self.job, name, rows.get(name), seed) for name, seed in work]
            try:
                done, _ = wait(futures, return_when=FIRST_EXCEPTION)
                for future in done:
                    future.result()
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                self.program.stop()
                raise

    def job(self, name, row, seed):
        start = time.monotonic()
        folder = self.output / TEACHER if row is None else self.folder(name, seed)
        folder.mkdir(parents=True, exist_ok=True)
        if name == SEEDED:
            self.seed(folder, seed)
        elif row is not None:
            self.distil(folder, {**row.settings, "steps": self.updates, "seed": seed})
        self.evaluate(folder, [] if row is None else ["--model", str(folder)])
        total = abilities(folder, "shapes")["all"]
        print(
            f"{folder.relative_to(self.output)}: {100 * total:.1f} %, "
            f"{time.monotonic() - start:.0f} s", file=sys.stderr, flush=True)

    def seed(self, folder, seed):
        """Takes a second, and has no run.yaml that says what it is: made anew each time."""
        self.program.run([
            "convert", "--seeding", "identity", "--seed", str(seed), "--overwrite",
            "--output", str(folder)])

    def distil(self, folder, settings):
        is_unfinished = (folder / "run.lock").exists()
        is_asked = self.matches(folder / "run.yaml", settings)
        if is_asked and not is_unfinished and (folder / "config.json").exists():
            return
        options = [part for key, value in settings.items() for part in (f"--{key}", str(value))]
        if any(folder.iterdir()) and not (is_asked and is_unfinished):
            options += ["--no-resume", "--overwrite"]
        self.program.compute(["distill", *options, "--output", str(folder)])

    def matches(self, file, settings):
        """Whether a run file says these settings and this device."""
        try:
            lines = file.read_text().splitlines()
        except FileNotFoundError:
            return False
        found = dict(line.strip().split(": ", 1) for line in lines if ": " in line)
        wanted = {**settings, "device": self.program.device.replace("cuda:0", "cuda")}
        found["device"] = found.get("device", "").replace("cuda:0", "cuda")
        return all(found.get(key) == str(value) for key, value in wanted.items())

    def evaluate(self, folder, model):
        ask = ["evaluate", *model, "--output", str(folder)]
        pictures = ["--pictures", str(self.pictures)]
        distances = len(NEEDLE.split(","))
        if questions(folder / "shapes.json") != 6 * self.pictures:
            self.program.compute([*ask, *pictures])
        if questions(folder / "needle.json") != distances * self.pictures:
            self.program.compute([*ask, *pictures, "--needle", NEEDLE])
        for name in BENCHMARKS:
            lines = next((self.data / name).glob("*.jsonl")).read_text().count("\n")
            if answers(folder / f"{name}.score.json") != lines:
                self.program.compute([
                    *ask, "--benchmark", name, "--data", str(self.data / name),
                    "--max-tokens", str(LONGEST_ANSWER)])


def questions(file):
    return json.loads(file.read_text())["total"]["questions"] if file.exists() else None


def answers(file):
    return json.loads(file.read_text())["answers"] if file.exists() else None


def abilities(folder, kind):
    """Accuracies of shapes.json or needle.json by ability, and "all"."""
    report = json.loads((folder / f"{kind}.json").read_text())
    parts = {**report["abilities"], "all": report["total"]}
    return {name: part["right"] / part["questions"] for name, part in parts.items()}


def headline(folder, benchmark):
    """The number that the paper's table has for a benchmark."""
    report = json.loads((folder / f"{benchmark}.score.json").read_text())
    return report["scores"][0]["headline"]
