"""Faults are found all at once, and blamed on the field that made them."""

from __future__ import annotations

import pytest

from qcore.recipe import Recipe
from qcore.recipe.axes import axes_of
from qcore.recipe.faults import faults_of
from qcore.recipe.pins import read_pins


def blamed(**values) -> set[str]:
    named = {name.replace("__", "."): value for name, value in values.items()}
    return set(faults_of({**axes_of([Recipe()]), **named}))


def test_nothing_is_wrong_with_the_defaults():
    assert blamed() == set()


def test_every_fault_is_found_however_many_there_are():
    assert blamed(
        calibration__length=(1,), calibration__windows=(0, 16), seed=(-1,), rounding__method=()
    ) == {"calibration.length", "calibration.windows", "seed", "rounding.method"}


def test_a_bad_name_is_blamed_on_nothing_else():
    axes = {**axes_of([Recipe()]), "model.source": ("folder",), "model.dtype": ("bfloat16",)}
    assert set(faults_of({**axes, "model.name[folder]": ("a\0b",)})) == {"model.name[folder]"}
    assert set(faults_of({**axes, "model.name[folder]": ()})) == {"model.name[folder]"}
    assert not faults_of({**axes, "model.name[folder]": ("/models/a",)})


@pytest.mark.parametrize(
    ("values", "path"),
    [
        ({"precision__budget": (9.0,)}, "precision.budget"),
        ({"precision__pins": (read_pins("down_proj=int4"),)}, "precision.pins"),
        ({"precision__probe.length": (1,)}, "precision.probe.length"),
        ({"precision__method": ("dmx", "uniform"), "precision__training.steps": (0,)},
         "precision.training.steps"),
    ],
    ids=str,
)  # fmt: skip
def test_a_budgets_fault_is_blamed_on_its_field(values, path):
    assert blamed(**{"precision__method": ("knapsack",), **values}) == {path}


def test_a_budget_that_fits_the_chosen_formats_is_fine_outside_the_default_ones():
    assert not blamed(
        precision__method=("uniform", "manual"),
        precision__formats=(("int2", "int3", "int4"),),
        precision__budget=(3.0,),
    )


def test_what_is_refused_together_only_is_blamed_on_no_field():
    assert not blamed(rotation=(True,), rotation__r4=(False,), rotation__block=(16,))
