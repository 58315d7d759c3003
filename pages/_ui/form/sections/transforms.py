"""Controls of transforms: rotation, permutation and expansion before quantization."""

from __future__ import annotations

from pages._ui.form import notes
from pages._ui.form.control import Control, Section

_ON = {True: "on", False: "off"}
_FUSED_HELP = "Fused into {}, at no cost at run time."
_ONLINE_HELP = "Its input is rotated at run time, in blocks or in full."

TRANSFORMS = Section(
    "Transforms",
    "how outliers are spread before anything is rounded",
    (
        (
            Control(
                "rotation",
                "Hadamard rotation",
                "An orthogonal matrix before, its inverse after: the float network's outputs stay "
                "what they are, and every input carries about the same energy.",
                names={False: "none", True: "rotate"},
            ),
        ),
        (
            Control(
                "rotation.r1", "R1: residual stream", _FUSED_HELP.format("the weights"), names=_ON
            ),
            Control(
                "rotation.r2",
                "R2: value heads",
                _FUSED_HELP.format("v_proj and o_proj"),
                names=_ON,
            ),
            Control("rotation.r4", "R4: down_proj", _ONLINE_HELP, names=_ON),
            Control("rotation.o_proj", "Online: o_proj", _ONLINE_HELP, names=_ON),
        ),
        (
            Control(
                "rotation.block",
                "Block of R4 and o_proj",
                "Features that an online rotation mixes with each other. Small blocks are cheaper.",
                names={None: "full"},
                options=(16, 32, 64, 128, 256, 512, None),
            ),
            Control(
                "rotation.signs",
                "Random signs",
                "Random signs before every Hadamard matrix, drawn from the seed.",
                names={False: "none", True: "by seed"},
            ),
        ),
        (
            Control(
                "permutation.method",
                "Permutation",
                "How channels are shared over the blocks of an online rotation, merged into the "
                "weights. MassDiff levels the blocks' mean absolute activation (MixQuant, arXiv "
                "2601.22347).",
                names={None: "none", "massdiff": "MassDiff"},
                unusual=("identity",),  # what none is, by another name
            ),
            Control(
                "expansion.percent",
                "Expansion (% of all parameters)",
                "Widens the inputs of the online rotations (arXiv 2503.17513); 0 leaves them as "
                "they are. The admissible sizes closest to the percentage are used.",
                "numbers",
                none="0",
            ),
        ),
        (
            Control(
                "permutation.values",
                "Permute value heads",
                "Also within value heads: for blocks at o_proj's input that no R2 has mixed "
                "before.",
                names={False: "no", True: "yes"},
                where=lambda axes: True in axes["rotation.o_proj"],
            ),
        ),
    ),
    note=notes.say_sizes,
)
