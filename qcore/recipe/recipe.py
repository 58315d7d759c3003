"""A Recipe says everything that decides a result, and nothing else.

It is frozen, it is validated when it is made, it has one canonical JSON text, and the digest of
that text is its name: equal recipes have equal digests on every machine. A part that is absent
(`None`) is left out of the text, so a recipe written before a part existed keeps its digest.

A *sweep* is the same JSON with a list where a recipe has a value (`qcore.recipe.sweep`).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Literal

from cache.digest import canonical_json, digest
from qcore.formats.format import FORMATS
from qcore.recipe.parts import (
    Activations,
    Calibration,
    Evaluation,
    ExpansionPart,
    ModelRef,
    PermutationPart,
    RotationPart,
    Rounding,
    ScalesPart,
    Weights,
)
from qcore.recipe.precision import Precision
from qcore.recipe.suffix import TEST_CASES, TRAINING_CASES, SuffixPart
from qcore.serialization import from_plain, parse_json, require, to_plain

SCHEMA = 1
"""Raised when the meaning of a recipe's JSON changes; it is part of every digest."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """One configuration, whole. `weights = None` is the float network: the reference point.

    `calibration = None` skips the capture; only RTN can do without one, and the report then has
    no layer output errors.

    `suffix` is the part of a network that predicts suffixes (`model.source` "suffix"); with a
    language model there is none.

    A method that is left to us (`auto`, the default of scales and of rounding) is settled when the
    recipe is made, so that equal recipes have equal digests however they were written.
    """

    model: ModelRef = field(default_factory=ModelRef)
    weights: Weights | None = field(default_factory=Weights)
    activations: Activations | None = None
    rotation: RotationPart | None = None
    permutation: PermutationPart | None = None
    expansion: ExpansionPart | None = None
    precision: Precision | None = None
    scales: ScalesPart = field(default_factory=ScalesPart)
    rounding: Rounding = field(default_factory=Rounding)
    calibration: Calibration | None = field(default_factory=Calibration)
    evaluation: Evaluation = field(default_factory=Evaluation)
    seed: int = 0
    suffix: SuffixPart | None = None

    def __post_init__(self):
        if self.model.source == "suffix":
            _settle_suffix(self)
        if self.rounding.method == "auto":
            object.__setattr__(self, "rounding", replace(self.rounding, method=_rounding(self)))
        if self.scales.method == "auto":
            object.__setattr__(self, "scales", _scales(self))
        _check(self)

    @property
    def digest(self) -> str:
        """SHA-256 of the schema and the canonical JSON: the recipe's name."""
        return digest({"schema": SCHEMA, "recipe": self.to_dict()})

    @property
    def has_float_scales(self) -> bool:
        """Whether weights may be of an INT format, whose scales are floats of a chosen type."""
        if self.weights is None:
            return False
        names = self.precision.formats if self.precision else [self.weights.format]
        return any(FORMATS[name].kind == "int" for name in names)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; a part that is absent by default is left out."""
        return to_plain(self)

    def to_json(self) -> str:
        """The canonical JSON text."""
        return canonical_json(self.to_dict())

    @classmethod
    def from_dict(cls, data: Any) -> Recipe:
        """A recipe from plain values; what is left out takes its default.

        Raises:
            InvalidRecipe: an unknown field, a value of the wrong type or range, or parts that do
                not go together.
        """
        return from_plain(cls, data, "recipe")

    @classmethod
    def from_json(cls, text: str) -> Recipe:
        """A recipe from JSON text. Raises InvalidRecipe as `from_dict`, and for broken JSON."""
        return cls.from_dict(parse_json(text))


def _settle_suffix(recipe: Recipe) -> None:
    """Let a suffix recipe that says nothing of its cases name them."""
    if recipe.suffix is None:
        object.__setattr__(recipe, "suffix", SuffixPart())
    for name, text, cases in (
        ("calibration", TRAINING_CASES, 256),
        ("evaluation", TEST_CASES, 1000),
    ):
        part = getattr(recipe, name)
        plain = Calibration() if name == "calibration" else Evaluation()
        if part == plain:
            part = replace(part, text=text, windows=cases, length=256)
        elif part is not None and part.text == plain.text:
            part = replace(part, text=text)
        object.__setattr__(recipe, name, part)


def _rounding(recipe: Recipe) -> Literal["rtn", "gptq"]:
    """The rounding of a recipe that names none: GPTQ where it can look at the layers' inputs."""
    return "rtn" if recipe.weights is None or recipe.calibration is None else "gptq"


def _scales(recipe: Recipe) -> ScalesPart:
    """The scales of a recipe that names no method; knobs that only PiSO has ask for PiSO."""
    named = recipe.scales
    if named != ScalesPart(storage=named.storage):
        return replace(named, method="piso")
    return replace(default_scales(recipe), storage=named.storage)


def default_scales(recipe: Recipe) -> ScalesPart:
    """The scales of such a recipe where nothing is said of them.

    PiSO with inputs taken as uncorrelated: under GPTQ it is as good as the exact objective at a
    fraction of its time (docs/measured.md). MX scales are powers of two with a rule of their own.
    A bit budget asks for every layer in every format, hundreds of scale searches before the first
    layer is rounded: it starts from absmax, and so does what has no text to look at.
    """
    weights = recipe.weights
    integers = weights is not None and weights.value.kind == "int"
    if not integers or recipe.calibration is None or recipe.precision is not None:
        return ScalesPart("absmax")
    return ScalesPart("piso", objective="diagonal")


def _check(recipe: Recipe) -> None:
    """Refuse parts that do not go together.

    Raises:
        InvalidRecipe: says which, and what to change.
    """
    require(0 <= recipe.seed < 2**32, f"seed {recipe.seed} is out of range", "choose 0 to 2³²−1")
    _check_kind(recipe)
    _check_transforms(recipe)
    _check_rounding(recipe)
    _check_scales(recipe)
    if recipe.precision is not None:
        _check_precision(recipe)


def _check_kind(recipe: Recipe) -> None:
    """What a network that predicts suffixes has, and a language model has not; and back."""
    asked, seen = recipe.evaluation, recipe.calibration
    texts = [asked.text, *([seen.text] if seen else [])]
    if recipe.model.source != "suffix":
        require(
            recipe.suffix is None,
            f"the model {recipe.model.source!r} is a language model and predicts no suffixes",
            'set the model\'s source to "suffix", or leave the suffix part out',
        )
        require(
            not {TRAINING_CASES, TEST_CASES} & set(texts),
            "cases of an event log are no text for a language model",
            "name a text",
        )
        return
    require(
        asked.text == TEST_CASES and (seen is None or seen.text == TRAINING_CASES),
        f"a network of event logs reads no text such as {texts[0]}",
        f"leave the texts out: they are {TRAINING_CASES} and {TEST_CASES}",
    )
    require(not asked.tasks, "zero-shot tasks are for language models", "leave the tasks out")
    require(
        recipe.model.dtype == "float32",
        f"the network is trained in float32, not in {recipe.model.dtype}",
        "leave the dtype out",
    )
    for part in ("rotation", "permutation", "expansion"):
        require(
            getattr(recipe, part) is None,
            f"a {part} turns the residual stream, and a recurrent network has none: its gates act "
            "on each entry of the state",
            f"leave the {part} out",
        )
    require(
        recipe.rounding.inputs != "block",
        "a recurrent network has no decoder blocks for inputs to start at",
        'set inputs to "quantized" or "float"',
    )
    require(
        recipe.precision is None or recipe.precision.method != "dmx",
        "dMX learns offsets in the blocks of a language model",
        'choose "knapsack", "kl", "uniform", "random" or "manual"',
    )


def _check_transforms(recipe: Recipe) -> None:
    online = recipe.rotation is not None and recipe.rotation.online
    require(
        recipe.expansion is None or online,
        "expansion widens the input of an online rotation, and there is none",
        "set the rotation's r4 or o_proj, or leave the expansion out",
    )
    require(
        recipe.permutation is None or online,
        "a permutation shares channels over the blocks of an online rotation: there is none",
        "set the rotation's r4 or o_proj, or leave the permutation out",
    )
    require(
        recipe.permutation is None
        or recipe.permutation.method == "identity"
        or recipe.calibration is not None,
        f"permutation {recipe.permutation.method if recipe.permutation else ''} needs E|x| from "
        "calibration text",
        "name a calibration text, or leave the permutation out",
    )
    blocks = recipe.rotation if recipe.permutation and recipe.permutation.values else None
    require(
        blocks is None or (blocks.o_proj and blocks.block is not None and not blocks.r2),
        "permuting values matters for blocks at o_proj's input that no R2 has mixed before",
        "set o_proj and a block, and r2 to false; or leave values out",
    )


def _check_rounding(recipe: Recipe) -> None:
    rounding, scales = recipe.rounding, recipe.scales
    corrects = rounding.method != "rtn"
    looks = corrects or (scales.method == "piso" and scales.objective != "identity")
    what = rounding.method if corrects else "PiSO"
    require(
        recipe.weights is not None or not corrects,
        f"{rounding.method} has no weights to round: the weight format is none",
        "choose a weight format, or rounding rtn",
    )
    require(
        recipe.weights is None or recipe.calibration is not None or not looks,
        f"{what} needs calibration text",
        "name a calibration text, or choose rounding rtn and scales absmax or mse",
    )
    require(
        looks or rounding.inputs == "float",
        "round-to-nearest with data-free scales looks at no inputs, so they cannot be "
        "quantized ones",
        'set inputs to "float", the scales to "piso", or another rounding method',
    )


def _check_scales(recipe: Recipe) -> None:
    rounding, scales = recipe.rounding, recipe.scales
    require(
        scales.objective != "cross" or rounding.inputs != "float",
        "the cross objective compares float with quantized inputs, and inputs are float",
        'set the rounding\'s inputs to "quantized", or the objective to "self"',
    )
    compares = rounding.method in ("gpfq", "qronos") or scales.objective == "cross"
    require(
        rounding.inputs != "block" or compares,
        f"{rounding.method} compares with no float inputs, so they cannot start at each block",
        'set inputs to "quantized", or choose Qronos, GPFQ or the objective "cross"',
    )
    require(
        rounding.interleaving != "group" or scales.objective != "cross",
        "a group's scale is found on moved weights, where PiSO's objective is self",
        'set the objective to "self", or interleaving to "layer"',
    )
    require(
        scales.objective != "cross" or rounding.interleaving != "decoupled",
        "decoupled scales see the float network alone, and the objective is cross",
        'set the objective to "self", or interleaving to "layer"',
    )
    counted = recipe.precision is not None and recipe.precision.objective == "bytes"
    require(
        not counted or scales.storage != "float32",
        "a budget of bytes counts a scale as 16 bits, and scales are stored as float32",
        'store scales as float16 or bfloat16, or let the budget count "weights"',
    )


def _check_precision(recipe: Recipe) -> None:
    part, weights, activations = recipe.precision, recipe.weights, recipe.activations
    assert part is not None
    require(
        weights is not None,
        "a bit budget is spent on weights, and the weight format is none",
        f"set the weights' format to {part.narrow_to_wide[0]}",
    )
    assert weights is not None
    require(
        weights.format == part.narrow_to_wide[0],
        f"the weights are {weights.format}, and the narrowest format allowed is "
        f"{part.narrow_to_wide[0]}",
        f"set the weights' format to {part.narrow_to_wide[0]}, which the budget then widens",
    )
    kind = FORMATS[weights.format].kind
    require(
        activations is None or not part.shared or FORMATS[activations.format].kind == kind,
        f"activations in {activations.format if activations else ''} cannot share the width of "
        f"{weights.format}",
        "choose activations of the same kind, or set shared to false",
    )
    require(
        part.objective != "both" or (activations is not None and part.shared),
        "the budget counts activations, and they do not share the layers' widths",
        'name an activation format and set shared to true, or set the objective to "weights"',
    )
    require(
        part.method not in ("kl", "knapsack", "dmx") or recipe.calibration is not None,
        f"{part.method} needs calibration text",
        'name a calibration text, or choose "uniform", "random" or "manual"',
    )
    require(
        part.method != "dmx" or kind == "mx",
        f"dMX learns the widths of MX elements, and the formats are {', '.join(part.formats)}",
        'choose MX formats, or the method "knapsack" or "kl"',
    )
