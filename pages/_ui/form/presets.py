"""Starting points, named after their papers or their purpose, as the JSON that a sweep is.

What a preset leaves out stands at the recipe's own defaults.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from qcore.recipe import Recipe
from qcore.recipe.sweep import expand


@dataclass(frozen=True, slots=True)
class Preset:
    """A named sweep: what it asks, in a sentence, and its JSON."""

    name: str
    question: str
    sweep: Any

    def recipes(self) -> list[Recipe]:
        """Its runs."""
        return expand(self.sweep)


_ROUNDINGS = [{"method": "rtn"}, {"method": "gptq"}]
_PISO_FORMATS = ["int4", "int3", "int2"]
_CORRECTED = {"method": ["gptq", "qronos"], "inputs": "quantized", "damping": 0.01}
"""GPTQ's own damping, and one for Qronos that suits the few tokens of the default calibration."""

FOUNDATIONS = Preset(
    "Foundations sweep",
    "How far does error feedback (GPTQ) get beyond rounding to nearest, at 8, 4 and 3 bits, with "
    "and without groups of 64?",
    {
        "weights": {"format": ["int8", "int4", "int3"], "group": [None, 64]},
        "scales": {"method": "absmax"},
        "rounding": _ROUNDINGS,
    },
)

_DEMO_SCALES = {"method": "absmax"}
_INT4, _INT4_64 = {"format": "int4"}, {"format": "int4", "group": 64}
_INT3_64 = {"format": "int3", "group": 64}

DEMO = Preset(
    "Demo sweep",
    "What does quantization cost, and what wins it back: error feedback (GPTQ), the scale with "
    "exactly the least output error (PiSO), groups of 64, or more bits?",
    [
        {"weights": None},
        {"weights": _INT4, "scales": _DEMO_SCALES, "rounding": {"method": "rtn"}},
        {"weights": _INT4, "scales": _DEMO_SCALES, "rounding": {"method": "gptq"}},
        {"weights": _INT4, "scales": {"method": "piso"}, "rounding": {"method": "rtn"}},
        {"weights": _INT4_64, "scales": _DEMO_SCALES, "rounding": _ROUNDINGS},
        {"weights": _INT3_64, "scales": _DEMO_SCALES, "rounding": _ROUNDINGS},
        {"weights": {"format": "int8"}, "scales": _DEMO_SCALES, "rounding": {"method": "rtn"}},
    ],
)
"""Ordered for information: each run tells most of what those before it left open. The float model
costs least and is what all others are held against, so it comes first; then the cheapest way to
4 bits, what wins its loss back, and last what hardly differs from float."""

PRESETS = (
    FOUNDATIONS,
    Preset(
        "MX formats",
        "What do the OCP Microscaling formats cost in quality, for weights alone and for weights "
        "and activations, when the shared exponent is floored or rounded (midmax)?",
        {
            "weights": {
                "format": ["mxfp8_e4m3", "mxfp6_e2m3", "mxfp4"],
                "scale_rounding": ["floor", "midmax"],
            },
            "activations": [None, {"format": "mxfp8_e4m3"}],
            "scales": {"method": "absmax"},
            "rounding": {"method": "rtn"},
        },
    ),
    Preset(
        "GPTQ: what matters",
        "GPTQ (Frantar et al., 2022) at 4 bits: does the column order matter, do the scales, and "
        "does it help to calibrate each layer on what the quantized layers before it produce?",
        {
            "weights": {"format": "int4"},
            "scales": {"method": ["absmax", "mse"]},
            "rounding": {
                "method": "gptq",
                "act_order": [True, False],
                "inputs": ["float", "quantized"],
            },
        },
    ),
    Preset(
        "Weights and activations",
        "How much of the loss comes from rounding activations? INT4 and INT8 weights with float, "
        "INT8 and INT6 inputs, each token scaled by itself.",
        {
            "weights": {"format": ["int8", "int4"]},
            "activations": [None, {"format": ["int8_asym", "int6_asym"]}],
            "rounding": {"method": "gptq"},
        },
    ),
    Preset(
        "MixQuant block-size sweep",
        "How small may the blocks of the online rotation be before outliers get through, and does "
        "MassDiff, which shares them over the blocks, make up for it (MixQuant, arXiv 2601.22347)?",
        {
            "weights": {"format": "int4"},
            "activations": {"format": "int4_asym"},
            "rotation": {"block": [16, 32, 64, 128, 256, 512, None]},
            "permutation": [None, {"method": "massdiff"}],
            "scales": {"method": "mse"},
            "rounding": {"method": "rtn"},
        },
    ),
    Preset(
        "Expansion sweep",
        "What do more dimensions buy (arXiv 2503.17513)? Down-projection inputs, then attention "
        "outputs too, grow by 2 to 15 % of all parameters in front of a full rotation, under GPTQ.",
        {
            "weights": {"format": "int4"},
            "activations": {"format": "int4_asym"},
            "rotation": {"o_proj": [False, True]},
            "expansion": [None, {"percent": [2, 5, 10, 15]}],
            "scales": {"method": "mse"},
            "rounding": {"method": "gptq"},
        },
    ),
    Preset(
        "PiSO bit-width sweep",
        "Does the scale with exactly the least output error (PiSO, arXiv 2606.10890) pay at 4, 3 "
        "and 2 bits, and does it still under error correction? GPTQ and Qronos see the same "
        "inputs, those of the quantized layers before; Qronos is damped for few tokens.",
        [
            {
                "weights": {"format": _PISO_FORMATS},
                "scales": {"method": ["absmax", "mse"]},
                "rounding": [{"method": "rtn"}, _CORRECTED],
            },
            {
                "weights": {"format": _PISO_FORMATS},
                "scales": {"method": "piso"},
                "rounding": [{"method": "rtn", "inputs": "quantized"}, _CORRECTED],
            },
        ],
    ),
    Preset(
        "dMX against KL",
        "Which layers deserve eight bits? Under equal budgets of weights and inputs, MXFP4 and "
        "MXFP8 are spread by learned offsets (dMX, arXiv 2606.04115), by KL greedily, by an exact "
        "knapsack over sensitivities, and uniformly.",
        {
            "weights": {"format": "mxfp4"},
            "activations": {"format": "mxfp4"},
            "precision": {
                "method": ["uniform", "kl", "knapsack", "dmx"],
                "budget": [4.25, 4.5, 5, 6],
                "formats": ["mxfp4", "mxfp8_e4m3"],
                "objective": "both",
            },
            "scales": {"method": "absmax"},
            "rounding": {"method": "rtn"},
            "evaluation": {"windows": 16},
        },
    ),
)
"""In the order in which the form offers them."""
