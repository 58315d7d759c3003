"""Controls of the model, and of what its weights and activations are rounded to."""

from __future__ import annotations

from pages._ui.form import notes
from pages._ui.form.control import Control, Section

_GROUPS = (None, 16, 32, 64, 128, 256)
_EXPONENTS = {"floor": "floor (OCP)", "midmax": "midmax"}
_EXPONENTS_HELP = (
    "floor is the OCP rule; midmax bumps the exponent when the largest element would otherwise be "
    "clipped by more than half a step."
)
_GROUP_HELP = "INT formats only: an MX format's block is always 32."

MODEL = Section(
    "Model",
    "the network to quantize",
    (
        (
            Control(
                "model.source",
                "Where the model comes from",
                "The demo is SmolLM2-135M-Instruct, dequantized from its Q4_1 file.",
                names={
                    "demo": ":material/science: Demo (SmolLM2-135M)",
                    "folder": ":material/folder: Local folder",
                    "hub": ":material/cloud_download: Hub",
                },
            ),
            Control(
                "model.dtype", "Computes in", "What the network computes in while it is measured."
            ),
        ),
        (
            Control(
                "model.name[folder]",
                "Model folder",
                "Hugging Face layout with safetensors weights; pickled weights are refused.",
                "words",
                hint="/models/Llama-3.2-1B",
            ),
        ),
        (
            Control(
                "model.name[hub]",
                "Hub id",
                "As on huggingface.co.",
                "words",
                hint="Qwen/Qwen3-0.6B",
            ),
            Control(
                "model.revision",
                "Revision",
                "Branch, tag or commit.",
                "words",
                empty=(None,),
                hint="main",
            ),
        ),
    ),
)

WEIGHTS = Section(
    "Weights",
    "how they are stored",
    (
        (Control("weights.format", "Weight format", kind="formats"),),
        (
            Control(
                "weights.group",
                "Group: inputs that share a weight scale",
                _GROUP_HELP,
                names={None: "per channel"},
                options=_GROUPS,
            ),
        ),
        (
            Control(
                "scales.storage",
                "An INT scale is stored as",
                "Its bits count towards bits per weight. PiSO chooses the best scale that the type "
                "holds; scales of other methods are rounded to it.",
            ),
        ),
        (
            Control(
                "weights.scale_rounding",
                "Shared exponent of an MX block of weights",
                _EXPONENTS_HELP,
                names=_EXPONENTS,
            ),
        ),
    ),
    note=notes.say_budget,
)

ACTIVATIONS = Section(
    "Activations",
    "rounded at run time",
    (
        (Control("activations.format", "Activation format", kind="formats"),),
        (
            Control(
                "activations.group",
                "Group: features that share an activation scale",
                _GROUP_HELP,
                names={None: "per token"},
                options=_GROUPS,
            ),
        ),
        (
            Control(
                "activations.scale_rounding",
                "Shared exponent of an MX block of activations",
                _EXPONENTS_HELP,
                names=_EXPONENTS,
            ),
        ),
    ),
)
