"""The parts of a recipe: each validates itself, and knows nothing of its neighbours.

A field says what it decides; its default is what a user gets who says nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from qcore.formats.format import Format, ScaleRounding, ScaleType, named
from qcore.recipe.suffix import TEST_CASES, TRAINING_CASES
from qcore.serialization import require, require_name

TASKS = ("arc_easy", "arc_challenge", "piqa", "hellaswag", "winogrande")
"""Zero-shot tasks, by their names in lm-eval."""

TEXTS = ("lambada/calibration", "lambada/evaluation", "wikitext2/train", "wikitext2/test")
"""Texts known by name; `file:PATH` names any other."""


MOST_WINDOWS = 1_000_000
"""Windows that a recipe may ask for: more than any text that is read has."""


def _check_text(text: str) -> None:
    require_name(text, "text")
    require(
        text in (*TEXTS, TRAINING_CASES, TEST_CASES)
        or (text.startswith("file:") and len(text) > len("file:")),
        f"unknown text {text[:80]!r}",
        f"choose {', '.join(TEXTS)} or file:PATH",
    )


def _check_windows(windows: int, length: int) -> None:
    require(windows >= 1, f"{windows} windows are none", "ask for at least 1")
    require(
        windows <= MOST_WINDOWS,
        f"{windows} windows are too many",
        f"ask for at most {MOST_WINDOWS}",
    )
    require(
        2 <= length <= 32768, f"window length {length} is out of range", "choose 2 to 32768 tokens"
    )


@dataclass(frozen=True, slots=True)
class ModelRef:
    """The network to run.

    Attributes:
        source: `demo` (SmolLM2-135M-Instruct, dequantized from Q4_1), `folder` (Hugging Face
            layout, safetensors), `hub`, or `suffix` (a network that predicts how cases go on; the
            recipe's suffix part says how it is trained).
        name: the folder's path or the Hub id; empty for the demo. Of `suffix`: the path of the
            event log, empty for the built-in process.
        revision: the Hub's branch, tag or commit.
        dtype: what the network computes in.
    """

    source: Literal["demo", "folder", "hub", "suffix"] = "demo"
    name: str = ""
    revision: str | None = None
    dtype: Literal["float32", "bfloat16"] = "float32"

    def __post_init__(self):
        require_name(self.name, "model")
        require_name(self.revision or "", "revision")
        if self.source == "demo":
            require(
                not self.name and self.revision is None,
                f"the demo model has no name or revision, got {self.name or self.revision!r}",
                'leave both out, or set source to "folder" or "hub"',
            )
        elif self.source != "suffix":
            what = "a folder" if self.source == "folder" else "a Hub id such as Qwen/Qwen3-0.6B"
            require(bool(self.name), f"source {self.source!r} has no name", f"name {what}")
        if self.source in ("folder", "suffix"):
            what = "a folder" if self.source == "folder" else "an event log"
            require(self.revision is None, f"{what} has no revision", "leave the revision out")


@dataclass(frozen=True, slots=True)
class RoundedPart:
    """What weights and activations are rounded to.

    Attributes:
        format: a name in `qcore.formats.format.FORMATS`.
        group: consecutive inputs that share a scale (INT formats); None is one scale per output
            channel of the weights, or per token of the activations.
        scale_rounding: how an MX block's shared exponent is chosen.
    """

    format: str
    group: int | None = None
    scale_rounding: ScaleRounding = "floor"

    def __post_init__(self):
        named(self.format, self.group)

    @property
    def value(self) -> Format:
        """The Format."""
        return named(self.format, self.group).with_scale_rounding(self.scale_rounding)


@dataclass(frozen=True, slots=True)
class Weights(RoundedPart):
    """How the linear layers' weights are stored."""

    format: str = "int4"


@dataclass(frozen=True, slots=True)
class Activations(RoundedPart):
    """How the linear layers' inputs are rounded, dynamically, at run time."""

    format: str = "int8_asym"


@dataclass(frozen=True, slots=True)
class RotationPart:
    """Orthogonal matrices that spread outliers; the float network's outputs stay what they are.

    Attributes:
        r1: rotate the residual stream; fused. Folds the norms and unties the embeddings.
        r2: rotate every value head, undone in o_proj; fused.
        r4: rotate down_proj's input at run time.
        block: features to a block of the online rotations; None rotates all features at once.
        o_proj: rotate o_proj's input at run time too.
        signs: random signs before every Hadamard matrix, drawn from the recipe's seed.
    """

    r1: bool = True
    r2: bool = True
    r4: bool = True
    block: int | None = None
    o_proj: bool = False
    signs: bool = False

    def __post_init__(self):
        require(
            self.r1 or self.r2 or self.r4 or self.o_proj,
            "the rotation rotates nothing",
            "set r1, r2, r4 or o_proj, or leave the rotation out",
        )
        require(
            self.block is None or self.block >= 2,
            f"a rotation block of {self.block} mixes nothing",
            "choose 16, 32, 64, 128, 256 or 512, or leave the block out for a full rotation",
        )
        require(
            self.block is None or self.r4 or self.o_proj,
            f"block {self.block} belongs to the online rotations, and there are none",
            "set r4 or o_proj, or leave the block out",
        )

    @property
    def online(self) -> bool:
        """Whether anything is rotated at run time."""
        return self.r4 or self.o_proj


@dataclass(frozen=True, slots=True)
class PermutationPart:
    """The order that shares channels over an online rotation's blocks (MixQuant, 2601.22347).

    Attributes:
        method: `massdiff`, `zigzag`, `absmax`, `random` (by the recipe's seed) or `identity`.
        values: also within value heads, for blocks at o_proj's input.
    """

    method: Literal["identity", "massdiff", "zigzag", "absmax", "random"] = "massdiff"
    values: bool = False


@dataclass(frozen=True, slots=True)
class ExpansionPart:
    """Wider inputs for the online rotations (arXiv 2503.17513).

    Attributes:
        percent: of all parameters, to be added; the admissible sizes closest to it are used.
    """

    percent: float = 5.0

    def __post_init__(self):
        require(
            0 <= self.percent <= 100,
            f"an expansion of {self.percent:g} % is out of range",
            "choose 0 to 100",
        )


@dataclass(frozen=True, slots=True)
class ScalesPart:
    """The method that finds a weight's scales.

    Attributes:
        method: `absmax` (from the largest magnitude), `mse` (least weight error) or `piso` (exactly
            least output error; arXiv 2606.10890). The fields up to `signed` are PiSO's alone.
            `auto` asks for the best choice that the recipe allows; a Recipe holds its outcome.
        objective: whose output is to be kept: `self` (‖X̃(w − s·q)‖², the inputs that rounding
            sees), `cross` (‖Xw − s·X̃q‖², float against quantized inputs), `diagonal` (`self` with
            inputs taken as uncorrelated: faster, not exact) or `identity` (weights).
        grouping: groups of a channel solved `sequential`ly, each knowing the others' errors, or
            each for itself.
        refine: coordinate descent over the groups until none improves.
        signed: also try negative scales, where the grid is asymmetric.
        storage: the type that holds an INT scale. PiSO finds the best scale of that type, other
            methods' scales are rounded to it. MX scales are powers of two.
    """

    method: Literal["auto", "absmax", "mse", "piso"] = "auto"
    objective: Literal["self", "cross", "diagonal", "identity"] = "self"
    grouping: Literal["sequential", "independent"] = "sequential"
    refine: bool = False
    signed: bool = False
    storage: ScaleType = "float16"

    def __post_init__(self):
        plain = ScalesPart.__dataclass_fields__
        own = [name for name in plain if name not in ("method", "storage")]
        set_here = [name for name in own if getattr(self, name) != plain[name].default]
        require(
            self.method in ("auto", "piso") or not set_here,
            f"{', '.join(set_here)} {'is' if len(set_here) == 1 else 'are'} PiSO's, and the scale "
            f"method is {self.method}",
            'leave them out, or set the method to "piso"',
        )


@dataclass(frozen=True, slots=True)
class Rounding:
    """The method that turns weights into codes once the scales are known.

    Attributes:
        method: `rtn` (round to nearest), `gptq`, `gpfq` or `qronos`. `auto` asks for GPTQ where
            there is text to calibrate on; a Recipe holds the outcome.
        act_order: columns are visited by falling Hessian diagonal.
        damping: added to the Hessian's diagonal, as a fraction; None is the method's own.
        inputs: the layer inputs behind the Hessian: `float` (one capture of the float network,
            shared by every recipe), `quantized` (what the quantized layers before it produce,
            layer by layer) or `block`: quantized ones too, held against the float inputs that the
            decoder block's float weights make of what arrives at the block, instead of the float
            network's own; for methods that compare the two.
        interleaving: when scales are found: all from the float network in an earlier pass
            (`decoupled`), a layer's just before it is rounded (`layer`), or a group's when error
            correction reaches it, on the weights as moved so far (`group`).
    """

    method: Literal["auto", "rtn", "gptq", "gpfq", "qronos"] = "auto"
    act_order: bool = True
    damping: float | None = None
    inputs: Literal["float", "quantized", "block"] = "float"
    interleaving: Literal["decoupled", "layer", "group"] = "layer"

    def __post_init__(self):
        require(
            self.damping is None or 0 < self.damping <= 1,
            f"damping {self.damping or 0:g} is out of range",
            "choose more than 0 and at most 1, or leave it out for the method's own",
        )
        require(
            self.interleaving != "group" or self.method in ("auto", "gptq", "qronos"),
            f"{self.method} has no group-interleaved form",
            'set interleaving to "layer", or the method to "gptq" or "qronos"',
        )


@dataclass(frozen=True, slots=True)
class Calibration:
    """The text whose activations are captured: `windows` × `length` tokens from its start."""

    text: str = "lambada/calibration"
    windows: int = 16
    length: int = 512

    def __post_init__(self):
        _check_text(self.text)
        _check_windows(self.windows, self.length)


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The measurements on the finished network.

    Attributes:
        text: perplexity text; its first `windows` windows of `length` tokens are scored.
        windows: non-overlapping windows.
        length: tokens in a window; the first has no prediction, so `length − 1` are scored.
        divergence: also KL to the float network and top-1 agreement, token by token.
        tasks: zero-shot tasks, by lm-eval name.
        limit: questions per task; None asks them all.
    """

    text: str = "lambada/evaluation"
    windows: int = 8
    length: int = 512
    divergence: bool = True
    tasks: tuple[str, ...] = ()
    limit: int | None = 100

    def __post_init__(self):
        _check_text(self.text)
        _check_windows(self.windows, self.length)
        unknown = [task for task in self.tasks if task not in TASKS]
        require(
            not unknown, f"unknown tasks {', '.join(unknown)}", f"choose from {', '.join(TASKS)}"
        )
        require(len(set(self.tasks)) == len(self.tasks), "a task stands twice", "name it once")
        require(
            self.limit is None or self.limit >= 1,
            f"a limit of {self.limit} questions is none",
            "ask for at least 1, or set the limit to null for all",
        )
