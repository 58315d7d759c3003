"""Controls of scales and rounding: how weights become codes."""

from __future__ import annotations

from pages._ui.form import notes
from pages._ui.form.control import Control, Section

ROUNDING = Section(
    "Scales and rounding",
    "how weights become codes",
    (
        (
            Control(
                "scales.method",
                "Scale",
                "absmax fits the largest weight; MSE minimises the squared weight error; PiSO "
                "finds the scale with exactly the least layer output error (arXiv 2606.10890).",
                names={"absmax": "absmax", "mse": "MSE", "piso": "PiSO"},
            ),
            Control(
                "rounding.method",
                "Rounding",
                "RTN rounds to nearest. GPTQ rounds column by column and pushes each error onto "
                "the columns not yet rounded. GPFQ follows the running output error along a path. "
                "Qronos also corrects what quantizing the layers before did to the inputs.",
                names={"rtn": "RTN", "gptq": "GPTQ", "gpfq": "GPFQ", "qronos": "Qronos"},
            ),
        ),
        (
            Control(
                "rounding.inputs",
                "Layer inputs seen",
                "Float: one capture serves every recipe. Quantized: what the quantized layers "
                "before really produce, captured layer by layer; slower. Block's, for Qronos and "
                "GPFQ: quantized ones too, but a block answers for its own errors alone, not for "
                "those of the blocks before it.",
                names={
                    "float": "float network's",
                    "quantized": "quantized network's",
                    "block": "block's",
                },
            ),
            Control(
                "rounding.interleaving",
                "Scales are found",
                "Layer by layer: just before a layer is rounded. All before: from the float "
                "network, in an earlier pass. Group by group: when error correction reaches a "
                "group, on the weights as moved so far; GPTQ and Qronos only.",
                names={
                    "layer": "layer by layer",
                    "decoupled": "all before",
                    "group": "group by group",
                },
            ),
        ),
        (
            Control(
                "rounding.act_order",
                "Column order",
                "By activation (act-order): largest Hessian diagonal first.",
                names={True: "by activation", False: "as stored"},
            ),
            Control(
                "rounding.damping",
                "Damping",
                "Added to the Hessian's diagonal, as a fraction. Empty is the method's own, which "
                "is written `own` beside other values. Qronos's own, 1e-6, goes with much text: on "
                "the default 8,192 tokens it fits noise, and 0.001 to 0.01 do better.",
                "numbers",
                none="own",
                empty=(None,),
                hint="The method's own",
            ),
        ),
    ),
    (
        (
            "PiSO: what its scales minimise, and how",
            (
                (
                    Control(
                        "scales.objective",
                        "Objective",
                        "Whose error the scale makes as small as it can. Cross needs quantized "
                        "inputs. The diagonal takes inputs as uncorrelated: faster, not exact.",
                        names={
                            "self": "same inputs: ‖X̃(w − s·q)‖²",
                            "cross": "float against quantized: ‖Xw − s·X̃q‖²",
                            "diagonal": "diagonal of H",
                            "identity": "weights alone: ‖w − s·q‖²",
                        },
                    ),
                ),
                (
                    Control(
                        "scales.grouping",
                        "Groups of a channel",
                        "One after another: each group knows the errors of those before it.",
                        names={"sequential": "one after another", "independent": "each for itself"},
                    ),
                    Control(
                        "scales.refine",
                        "Refine over the groups",
                        "Coordinate descent over a channel's groups until none improves.",
                        names={False: "no", True: "yes"},
                    ),
                ),
                (
                    Control(
                        "scales.signed",
                        "Sign of a scale",
                        "Also try negative scales, where the grid is asymmetric.",
                        names={False: "positive", True: "either sign"},
                    ),
                ),
            ),
        ),
    ),
    note=notes.say_why_scales,
)
