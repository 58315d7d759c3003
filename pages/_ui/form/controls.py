"""Every control of the form, in the order in which they are drawn: one table, a row for each knob.

A control asks for one path of the recipe. What it offers comes from the recipe's types where they
list their values, what it starts with from the recipe's defaults, and whether it is drawn from
`qcore.recipe.relevance`; a row (`sections/`) says the rest: label, help, how values are called. A
new knob is a field of the recipe's part, a row, and its line in the documentation.
"""

from __future__ import annotations

from pages._ui.form.control import Control, Section
from pages._ui.form.sections.budget import BUDGET
from pages._ui.form.sections.numbers import ACTIVATIONS, MODEL, WEIGHTS
from pages._ui.form.sections.rounding import ROUNDING
from pages._ui.form.sections.texts import CALIBRATION, EVALUATION
from pages._ui.form.sections.transforms import TRANSFORMS
from qcore.formats.format import FORMATS

SORTS: dict[str, tuple[str, str, tuple[str | None, ...]]] = {
    "none": ("Float", "", (None,)),
    "symmetric": (
        "INT, symmetric",
        "Codes −2ᵇ⁻¹ … 2ᵇ⁻¹ − 1 and no zero point.",
        tuple(n for n, f in FORMATS.items() if f.kind == "int" and f.symmetric)[::-1],
    ),
    "asymmetric": (
        "INT, asymmetric",
        "Codes 0 … 2ᵇ − 1 and an integer zero point.",
        tuple(n for n, f in FORMATS.items() if f.kind == "int" and not f.symmetric)[::-1],
    ),
    "mx": (
        "MX, blocks of 32",
        "One power-of-two scale per 32 elements (OCP MX 1.0): small floats or 8-bit integers.",
        tuple(n for n, f in FORMATS.items() if f.kind == "mx"),
    ),
}
"""Formats by sort: a row of pills each, with its label, its help and its formats."""

LAYOUT: tuple[tuple[Section, ...], ...] = (
    (MODEL,),
    (WEIGHTS, ACTIVATIONS),
    (BUDGET,),
    (TRANSFORMS,),
    (ROUNDING,),
    (CALIBRATION, EVALUATION),
)
"""The sections, those in a row side by side."""


def controls_of(section: Section) -> list[Control]:
    """A section's controls, those in folds last."""
    folded = [row for _, rows in section.folds for row in rows]
    return [control for row in (*section.rows, *folded) for control in row]


CONTROLS: dict[str, Control] = {
    control.path: control for row in LAYOUT for section in row for control in controls_of(section)
}
"""Every control by its path."""
