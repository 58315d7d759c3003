"""Controls of a bit budget: which layer gets which format, and who decides."""

from __future__ import annotations

from pages._ui.form.control import Control, Section
from qcore.recipe.titles import BUDGET_METHODS

_YES = {True: "yes", False: "no"}

BUDGET = Section(
    "Bit budget",
    "one format per layer, under a budget",
    (
        (
            Control(
                "precision.method",
                "Budget spent by",
                "Off: all layers alike, in the weights' format. Uniform: the widest format that "
                "fits everywhere, then layers in stored order. KL greedy: the layer whose rounding "
                "moves the output most is widened first. Knapsack: the least sum of sensitivities, "
                "exactly. dMX: offsets learned by gradient (arXiv 2606.04115). Manual: the pins "
                "say it all.",
                names={None: "off", **BUDGET_METHODS},
            ),
        ),
        (
            Control(
                "precision.budget",
                "Budget (bits)",
                "Average bits of an element, between the narrowest and the widest format.",
                "numbers",
            ),
            Control(
                "precision.formats",
                "Formats allowed",
                "What a layer may get. With a budget these replace the weights' formats above.",
                "sets",
                options=(
                    *("mxfp4+mxfp8_e4m3", "mxfp4+mxfp6_e2m3", "mxfp4+mxfp6_e2m3+mxfp8_e4m3"),
                    *("int4+int8", "int3+int4+int8", "int2+int3+int4"),
                ),
            ),
        ),
        (
            Control(
                "precision.objective",
                "A budget counts",
                "Weights: element bits, scales not counted (MXFP4 is 4). Weights and inputs: the "
                "mean of both, as in the dMX paper. Stored bytes: with scales and zero points "
                "(MXFP4 is 4.25).",
                names={"weights": "weights", "both": "weights and inputs", "bytes": "stored bytes"},
            ),
            Control(
                "precision.weighting",
                "Mean over",
                "Over weights, a large layer counts for more. Over layers, all count alike.",
                names={"size": "weights", "layers": "layers"},
            ),
        ),
        (
            Control(
                "precision.fused",
                "q, k, v share a format; gate, up too",
                "As servers that fuse these projections need it.",
                names=_YES,
            ),
            Control(
                "precision.shared",
                "Inputs take the weights' width",
                "A layer's inputs are as wide as its weights; otherwise all stay in their own "
                "format.",
                names=_YES,
                where=lambda axes: set(axes["activations.format"]) != {None},
            ),
        ),
        (
            Control(
                "precision.pins",
                "Pins",
                "Layers whose format is given, with blanks between: `down_proj=mxfp8_e4m3 "
                "3.self_attn.v_proj=mxfp4 0=mxfp8_e4m3`. `none` stands for no pins.",
                "pins",
                empty=((),),
                hint="None: every layer is free",
            ),
        ),
    ),
    (
        (
            "Sensitivities: what they are measured by",
            (
                (
                    Control(
                        "precision.probe.measure",
                        "A format costs a layer",
                        "KL of the float network's predictions to those with this layer alone "
                        "quantized; the increase in loss; or the layer's relative output error, "
                        "from the captured Hessian alone.",
                        names={"kl": "KL", "loss": "loss increase", "proxy": "output error"},
                    ),
                ),
                (
                    Control(
                        "precision.probe.windows",
                        "Probe windows",
                        "Few are enough for an order of layers.",
                        "numbers",
                    ),
                    Control(
                        "precision.probe.length",
                        "Probe length",
                        "Tokens in a window, 2 to 32768.",
                        "numbers",
                    ),
                ),
            ),
        ),
        (
            "dMX: how its offsets are learned",
            (
                (
                    Control(
                        "precision.training.steps", "dMX steps", "Of the optimiser.", "numbers"
                    ),
                    Control(
                        "precision.training.batch",
                        "Windows a step",
                        "How many are read at once.",
                        "numbers",
                    ),
                    Control(
                        "precision.training.length",
                        "Training length",
                        "Tokens in a window, 2 to 32768.",
                        "numbers",
                    ),
                ),
                (
                    Control(
                        "precision.training.rate",
                        "Learning rate",
                        "SGD with Nesterov momentum.",
                        "numbers",
                    ),
                    Control(
                        "precision.training.momentum",
                        "Momentum",
                        "At least 0, less than 1.",
                        "numbers",
                    ),
                    Control(
                        "precision.training.penalty",
                        "Penalty λ",
                        "Nats per bit above the budget.",
                        "numbers",
                    ),
                ),
            ),
        ),
    ),
)
