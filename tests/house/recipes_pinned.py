"""A dozen recipes, every field that decides a result written out, over inputs of made-up content.

Their digests and stage keys were written down before the house was laid out anew; what moves code
from one file to another may not change one of them, or every cache and every link would be lost.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from qcore.models.source import ModelSource
from qcore.pipeline import Keys, Resolved
from qcore.recipe import Recipe

_INT = {"method": "absmax", "storage": "float16"}
_RTN = {"method": "rtn"}
_GPTQ = {"method": "gptq"}
_W4 = {"weights": {"format": "int4"}, "scales": _INT, "rounding": _RTN}
_TURNED = {"weights": {"format": "int4"}, "activations": {"format": "int4_asym"}}

RECIPES: dict[str, dict[str, Any]] = {
    "float": {"weights": None, "scales": _INT, "rounding": _RTN},
    "int4": _W4,
    "int3 g64 mse gptq": {
        "weights": {"format": "int3", "group": 64},
        "scales": {"method": "mse", "storage": "float16"},
        "rounding": _GPTQ,
    },
    "int4 piso self gptq quantized": {
        "weights": {"format": "int4"},
        "scales": {"method": "piso", "objective": "self", "storage": "float16"},
        "rounding": {"method": "gptq", "inputs": "quantized"},
    },
    "int4 piso cross qronos damped": {
        "weights": {"format": "int4"},
        "scales": {"method": "piso", "objective": "cross", "storage": "float32"},
        "rounding": {"method": "qronos", "inputs": "quantized", "damping": 0.01},
    },
    "int3 g32 piso group gptq": {
        "weights": {"format": "int3", "group": 32},
        "scales": {"method": "piso", "refine": True, "storage": "float16"},
        "rounding": {"method": "gptq", "inputs": "quantized", "interleaving": "group"},
    },
    "mxfp4 a mxfp8 midmax": {
        "weights": {"format": "mxfp4", "scale_rounding": "midmax"},
        "activations": {"format": "mxfp8_e4m3"},
        "scales": {"method": "absmax"},
        "rounding": _RTN,
    },
    "w4a4 rotated": {**_TURNED, "rotation": {}, "scales": _INT, "rounding": _RTN},
    "w4a4 blocks massdiff gptq": {
        **_TURNED,
        "rotation": {"block": 32, "signs": True},
        "permutation": {"method": "massdiff"},
        "scales": _INT,
        "rounding": _GPTQ,
        "seed": 3,
    },
    "w4a4 expanded": {
        **_TURNED,
        "rotation": {"o_proj": True},
        "expansion": {"percent": 5.0},
        "scales": _INT,
        "rounding": _RTN,
    },
    "knapsack of 5 bits": {
        "weights": {"format": "mxfp4"},
        "activations": {"format": "mxfp4"},
        "precision": {"method": "knapsack", "budget": 5.0},
        "scales": {"method": "absmax"},
        "rounding": _RTN,
    },
    "dmx of 5 bits": {
        "weights": {"format": "mxfp4"},
        "activations": {"format": "mxfp4"},
        "precision": {"method": "dmx", "budget": 5.0},
        "scales": {"method": "absmax"},
        "rounding": _RTN,
    },
    "tasks": {**_W4, "evaluation": {"tasks": ["piqa"], "limit": 20}},
}


def resolved(recipe: Recipe) -> Resolved:
    """Inputs of made-up content, so that no file decides a key."""
    source = ModelSource("demo", "0" * 64, Path("demo"), "demo", "llama")
    tasks = {task: f"task {task}" for task in recipe.evaluation.tasks}
    return Resolved(source, "calibration" if recipe.calibration else "", "evaluation", tasks)


def keys_of(recipe: Recipe) -> dict[str, str]:
    """The recipe's digest, its report's id, and the key of every stage that it has."""
    keys = Keys(recipe, resolved(recipe))
    found = {"digest": recipe.digest, "report": keys.report, "load": keys.load}
    found |= {"reference": keys.reference, "hidden 0": keys.hidden(0)}
    found |= {"transform": keys.transform, "capture": keys.capture, "evaluate": keys.evaluate}
    if recipe.weights is not None:
        found |= {"scales": keys.scales, "quantize": keys.quantize}
        found |= {"quantize 0": keys.block("quantize", 0)}
    if recipe.precision is not None:
        found |= {"assign": keys.assign, "sensitivity": keys.sensitivity}
    found |= {f"task {task}": keys.task(task) for task in recipe.evaluation.tasks}
    return found | {"window 0": keys.window("evaluate", 0)}
