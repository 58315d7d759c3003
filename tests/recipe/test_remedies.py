"""What a refusal advises is accepted: every remedy for a recipe's own contradictions, tried."""

from typing import Any

import pytest

from qcore.errors import InvalidRecipe
from qcore.recipe import Recipe

CROSS = {"method": "piso", "objective": "cross"}
VALUES = {"rotation": {"block": 16, "o_proj": True}, "permutation": {"values": True}}
INTS = {"formats": ["int4", "int8"], "budget": 5}
BYTES = {"scales": {"storage": "float32"}, "precision": {**INTS, "objective": "bytes"}}
BOTH = {"precision": {**INTS, "objective": "both"}}
MIXED = {"precision": {"formats": ["mxfp4", "mxint8"]}, "weights": {"format": "mxfp4"}}

CASES: dict[str, tuple[dict[str, Any], list[dict[str, Any]]]] = {
    "expansion without rotation": ({"expansion": {}}, [{"rotation": {}}, {"expansion": None}]),
    "permutation without rotation": (
        {"permutation": {}},
        [{"rotation": {"r4": False, "o_proj": True}}, {"permutation": None}],
    ),
    "permutation without text": (
        {"permutation": {}, "rotation": {}, "calibration": None},
        [{"calibration": {}}, {"permutation": None}],
    ),
    "values mixed before": (
        VALUES,
        [
            {"rotation": {"block": 16, "o_proj": True, "r2": False}},
            {"permutation": {"values": False}},
        ],
    ),
    "nothing to round": (
        {"weights": None, "rounding": {"method": "gptq"}},
        [{"weights": {"format": "int4"}}, {"rounding": {"method": "rtn"}}],
    ),
    "no text": (
        {"calibration": None, "rounding": {"method": "gptq"}},
        [{"calibration": {}}, {"rounding": {"method": "rtn"}, "scales": {"method": "mse"}}],
    ),
    "nothing looks at inputs": (
        {"rounding": {"method": "rtn", "inputs": "quantized"}, "scales": {"method": "mse"}},
        [
            {"rounding": {"method": "rtn", "inputs": "float"}},
            {"scales": {"method": "piso"}},
            {"rounding": {"method": "gptq", "inputs": "quantized"}},
        ],
    ),
    "cross on float inputs": (
        {"scales": CROSS},
        [{"rounding": {"inputs": "quantized"}}, {"scales": {**CROSS, "objective": "self"}}],
    ),
    "block inputs": (
        {"rounding": {"method": "gptq", "inputs": "block"}},
        [
            {"rounding": {"method": "gptq", "inputs": "quantized"}},
            {"rounding": {"method": "qronos", "inputs": "block"}},
            {"scales": CROSS},
        ],
    ),
    "group scales on cross": (
        {
            "rounding": {"method": "gptq", "inputs": "quantized", "interleaving": "group"},
            "scales": CROSS,
        },
        [
            {"scales": {"method": "piso"}},
            {"rounding": {"method": "gptq", "inputs": "quantized", "interleaving": "layer"}},
        ],
    ),
    "decoupled scales on cross": (
        {"rounding": {"inputs": "quantized", "interleaving": "decoupled"}, "scales": CROSS},
        [
            {"scales": {"method": "piso"}},
            {"rounding": {"inputs": "quantized", "interleaving": "layer"}},
        ],
    ),
    "bytes of wide scales": (
        BYTES,
        [
            {"scales": {"storage": "float16"}},
            {"scales": {"storage": "bfloat16"}},
            {"precision": {**INTS, "objective": "weights"}},
        ],
    ),
    "a budget without weights": (
        {"weights": None, "precision": INTS},
        [{"weights": {"format": "int4"}}],
    ),
    "weights that are not the narrowest": (
        {"weights": {"format": "int8"}, "precision": INTS},
        [{"weights": {"format": "int4"}}],
    ),
    "activations of another kind": (
        {**MIXED, "activations": {"format": "int8"}},
        [
            {"activations": {"format": "mxint8"}},
            {"precision": {**MIXED["precision"], "shared": False}},
        ],
    ),
    "a budget over activations": (
        BOTH,
        [{"activations": {"format": "int4"}}, {"precision": {**INTS, "objective": "weights"}}],
    ),
    "a method without text": (
        {"precision": INTS, "calibration": None},
        [{"calibration": {}}, {"precision": {**INTS, "method": "uniform"}}],
    ),
    "dMX on integers": (
        {"precision": {**INTS, "method": "dmx"}},
        [{"precision": {**INTS, "method": "knapsack"}}, {"precision": {**INTS, "method": "kl"}}],
    ),
    "a manual budget": (
        {"precision": {**INTS, "method": "manual"}},
        [{"precision": {**INTS, "method": "manual", "budget": None}}],
    ),
    "a budget out of range": (
        {"precision": {**INTS, "budget": 9}},
        [{"precision": {**INTS, "budget": 4}}, {"precision": {**INTS, "budget": 8}}],
    ),
    "PiSO's own knobs": (
        {"scales": {"method": "mse", "refine": True}},
        [{"scales": {"method": "mse"}}, {"scales": {"method": "piso", "refine": True}}],
    ),
    "a group of one": (
        {"weights": {"group": 1}},
        [{"weights": {"group": 16}}, {"weights": {"group": 512}}, {"weights": {}}],
    ),
    "a group of an MX format": (
        {"weights": {"format": "mxfp4", "group": 64}},
        [{"weights": {"format": "mxfp4"}}],
    ),
    "a rotation of nothing": (
        {"rotation": {"r1": False, "r2": False, "r4": False}},
        [{"rotation": {"r1": False, "r2": False}}, {"rotation": None}],
    ),
    "a block without its rotation": (
        {"rotation": {"r4": False, "block": 32}},
        [{"rotation": {"block": 32}}, {"rotation": {"r4": False}}],
    ),
    "no questions": (
        {"evaluation": {"limit": 0}},
        [{"evaluation": {"limit": 1}}, {"evaluation": {"limit": None}}],
    ),
    "no damping": (
        {"rounding": {"method": "gptq", "damping": 0}},
        [{"rounding": {"method": "gptq", "damping": 1}}, {"rounding": {"method": "gptq"}}],
    ),
    "groups of the wrong method": (
        {"rounding": {"method": "gpfq", "interleaving": "group"}},
        [
            {"rounding": {"method": "gpfq", "interleaving": "layer"}},
            {"rounding": {"method": "gptq", "interleaving": "group"}},
            {"rounding": {"method": "qronos", "interleaving": "group"}},
        ],
    ),
    "a named demo": ({"model": {"name": "x"}}, [{"model": {}}]),
    "a revision of a folder": (
        {"model": {"source": "folder", "name": "x", "revision": "main"}},
        [{"model": {"source": "folder", "name": "x"}}],
    ),
    "too many windows": (
        {"evaluation": {"windows": 10**7}},
        [{"evaluation": {"windows": 10**6}}],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_what_is_advised_is_accepted(case: str) -> None:
    data, remedies = CASES[case]
    with pytest.raises(InvalidRecipe):
        Recipe.from_dict(data)
    for remedy in remedies:
        Recipe.from_dict({**data, **remedy})


def test_all_questions_are_asked_with_the_limit_that_is_advised_for_it() -> None:
    assert Recipe.from_dict({"evaluation": {"limit": None}}).evaluation.limit is None
    with pytest.raises(InvalidRecipe, match="set the limit to null for all"):
        Recipe.from_dict({"evaluation": {"limit": 0}})
