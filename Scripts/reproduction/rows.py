"""The rows of the paper's tables, as options of matvlm, and what the paper reports for them."""

from collections import namedtuple

TEACHER = "teacher"
SEEDED = "seeded-only"

# settings: keys of run.yaml, which are also options of `matvlm distill`.
Row = namedtuple("Row", "title settings")

# A quarter of the eight layers evenly, layer loss and divergence: the paper's own choice, in every
# table. Mixers start as the embedded default does.
STANDARD = {
    "ssm-layers": "0,4", "seeding": "identity",
    "layer-weight": 1.0, "kl-weight": 1.0, "ce-weight": 0.0,
}


def row(title, **changes):
    changes = {key.replace("_", "-"): value for key, value in changes.items()}
    return Row(title, {**STANDARD, **changes})


def losses(layer, kl, ce):
    return dict(layer_weight=float(layer), kl_weight=float(kl), ce_weight=float(ce))


ROWS = {
    SEEDED: Row("student, seeded only", {}),
    "even-25": row("25 %, even, layer and probability loss"),
    "even-12.5": row("12.5 %", ssm_layers="0"),
    "even-50": row("50 %", ssm_layers="0,2,4,6"),
    "beginning": row("beginning", ssm_layers="0,1"),
    "middle": row("middle", ssm_layers="3,4"),
    "end": row("end", ssm_layers="6,7"),
    "loss-ce": row("label loss", **losses(0, 0, 1)),
    "loss-layer": row("layer loss", **losses(1, 0, 0)),
    "loss-probability": row("probability loss", **losses(0, 1, 0)),
    "loss-all": row("all three losses", **losses(1, 1, 1)),
    "seeding-paper": row("seeding of the paper", seeding="paper"),
    "seeding-calibrated": row("seeding calibrated", seeding="calibrated"),
}

# Title, rows in the paper's order with their titles in this table, and the paper's averages over
# nine benchmarks; None where it has no number.
Table = namedtuple("Table", "title rows")
TABLES = [
    Table("Table 2: how many layers", [
        ("even-12.5", "12.5 %", 61.8), ("even-25", "25 %", 62.3), ("even-50", "50 %", 60.1)]),
    Table("Table 3: which quarter of the layers", [
        ("even-25", "even", 62.3), ("beginning", "beginning", 60.4), ("middle", "middle", 58.9),
        ("end", "end", "incoherent")]),
    Table("Table 4: losses, a quarter of the layers", [
        ("loss-ce", "label", 55.6), ("loss-layer", "layer", 60.7),
        ("loss-probability", "probability", 61.4), ("even-25", "probability and layer", 62.3),
        ("loss-all", "all three", 61.3)]),
    Table("How mixers start, a quarter of the layers", [
        ("seeding-paper", "paper", None), ("even-25", "identity", None),
        ("seeding-calibrated", "calibrated", None)]),
    Table("Bounds", [(TEACHER, "teacher", 64.2), (SEEDED, "student, seeded only", None)]),
]
