"""The small tables beside the paper's, as Markdown."""

from statistics import mean, stdev

from .jobs import BENCHMARKS, NEEDLE, abilities, headline
from .rows import TABLES, TEACHER

TITLES = {"mme": "MME", "textvqa": "TextVQA", "gqa": "GQA", "pope": "POPE"}


def text(values, digits=1):
    """A mean, with the standard deviation of several."""
    spread = f" ± {stdev(values):.{digits}f}" if len(values) > 1 else ""
    return f"{mean(values):.{digits}f}{spread}"


def line(cells):
    return "| " + " | ".join(cells) + " |\n"


def head(names):
    return line(names) + line(["---"] + ["---:"] * (len(names) - 1))


def order(pairs):
    """Titles from the highest number to the lowest; None: some have none."""
    if len(pairs) < 2 or any(value is None for _, value in pairs):
        return None
    # The paper has no number for students that answer incoherently.
    ranked = sorted(pairs, key=lambda pair: -1 if isinstance(pair[1], str) else pair[1])
    return [title for title, _ in reversed(ranked)]


class Results:
    def __init__(self, rows, seeds, jobs):
        self.rows, self.seeds, self.jobs = rows, seeds, jobs

    def folders(self, name):
        if name == TEACHER:
            return [self.jobs.output / TEACHER]
        return [self.jobs.folder(name, seed) for seed in self.seeds]

    def known(self, table):
        return [row for row in table.rows if row[0] == TEACHER or row[0] in self.rows]

    def accuracy(self, name, ability="all", kind="shapes"):
        return [100 * abilities(folder, kind)[ability] for folder in self.folders(name)]

    def columns(self, kind):
        names = [name for name in abilities(self.jobs.output / TEACHER, kind) if name != "all"]
        return sorted(names)

    def table(self, table):
        rows = self.known(table)
        names = self.columns("shapes")
        out = head([table.title.split(":")[0], "paper", "here", *names])
        for name, title, paper in rows:
            shown = "" if paper is None else str(paper)
            parts = [text(self.accuracy(name, ability)) for ability in names]
            out += line([title, shown, text(self.accuracy(name)), *parts])
        return out + self.verdict(rows)

    def verdict(self, rows):
        paper = order([(title, value) for _, title, value in rows])
        if paper is None:
            return ""
        here = order([(title, mean(self.accuracy(name))) for name, title, _ in rows])
        verdict = "the same" if here == paper else "another"
        return (
            f"\nFrom best to worst in the paper: {', '.join(paper)}. Here: {', '.join(here)}; "
            f"{verdict} order.\n")

    def benchmarks(self):
        out = head(["model", *(TITLES[name] for name in BENCHMARKS)])
        for name in self.names():
            scores = [
                text([headline(folder, benchmark) for folder in self.folders(name)])
                for benchmark in BENCHMARKS]
            out += line([self.title(name), *scores])
        return out

    def needle(self):
        turns = NEEDLE.split(",")
        names = sorted(
            self.columns("needle"), key=lambda name: turns.index(name.split()[0]))
        out = head(["model", *(f"after {name}" for name in names)])
        for name in self.names():
            out += line([
                self.title(name),
                *(text(self.accuracy(name, ability, "needle")) for ability in names)])
        return out

    def names(self):
        return [TEACHER, *self.rows]

    def title(self, name):
        return TEACHER if name == TEACHER else self.rows[name].title


def tables(rows, seeds, jobs):
    results = Results(rows, seeds, jobs)
    parts = [
        "# The paper's tables in small\n",
        f"Students of the embedded teacher after {jobs.updates} updates of 8 pictures, on "
        f"{jobs.pictures} held-out pictures: right answers in per cent, mean and standard deviation over {len(seeds)} "
        f"seed{'s' if len(seeds) > 1 else ''}. The paper's numbers are its averages over nine "
        "benchmarks.\n",
    ]
    for table in TABLES:
        if len(results.known(table)) > 1:
            parts += [f"## {table.title}\n", results.table(table)]
    parts += [
        "## The same pictures as four of the paper's benchmarks\n",
        "MME has its parts existence, color and OCR: 600 points at most.\n", results.benchmarks(),
        "## What is written, asked late\n",
        "The picture comes first, then turns about other things in it, then the question.\n",
        results.needle(),
    ]
    return "\n".join(parts)
