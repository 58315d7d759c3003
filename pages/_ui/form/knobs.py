"""Every knob of the form and the values chosen for it; a form is a sweep.

`Knobs` is plain data between the widgets and the engine. `sweep` writes it as the JSON that the
command line takes too. Sorts to which different knobs belong are kept apart, so that no run is
asked for twice:

- INT weights take groups, scales and rounding; MX weights have a fixed block, so groups do not
  touch them, but a rule for their exponent; float weights have nothing to scale or to round;
- permutation, expansion and blocks belong to a rotation, and are left out where there is none;
- a bit budget brings its own formats, and only runs without one take the weights' (`budget_parts`);
- PiSO scales have knobs of their own and look at the layers' inputs; rounding to nearest with
  other scales looks at nothing, and takes no knobs at all.

`Knobs.of` goes back: the values that a list of recipes uses. Going there and back gives the same
recipes wherever they are a full product; otherwise the form offers the product around them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from typing import Any

from pages._ui.form.budget_parts import budget_parts, budget_values, needless, starting_formats
from pages._ui.form.knob_parts import (
    NONE,
    ROTATED,
    ROTATION_KNOBS,
    distinct,
    exponents,
    groups,
    looks_at_inputs,
    mx,
    one_or_many,
    parts_by_sort,
    transform_parts,
    transform_values,
)
from qcore.errors import InvalidRecipe
from qcore.recipe import Recipe
from qcore.recipe.sweep import expand


@dataclass(frozen=True, slots=True)
class Knobs:
    """The values of every knob, in the order in which they were chosen.

    Names follow the recipe's; a group of 0 means none, a rotation block of 0 a full rotation, an
    expansion of 0 % no expansion, an empty revision the default branch, a damping of None the
    method's own.
    """

    sources: tuple[str, ...]
    folders: tuple[str, ...]
    hub_ids: tuple[str, ...]
    revisions: tuple[str, ...]
    dtypes: tuple[str, ...]
    weights: tuple[str, ...]
    weight_groups: tuple[int, ...]
    weight_exponents: tuple[str, ...]
    activations: tuple[str, ...]
    activation_groups: tuple[int, ...]
    activation_exponents: tuple[str, ...]
    budget_methods: tuple[str, ...]
    budgets: tuple[float, ...]
    budget_formats: tuple[str, ...]
    budget_objectives: tuple[str, ...]
    weightings: tuple[str, ...]
    sharings: tuple[bool, ...]
    fusings: tuple[bool, ...]
    pins: tuple[str, ...]
    measures: tuple[str, ...]
    probe_windows: tuple[int, ...]
    probe_lengths: tuple[int, ...]
    training_steps: tuple[int, ...]
    training_batches: tuple[int, ...]
    training_lengths: tuple[int, ...]
    training_rates: tuple[float, ...]
    training_momenta: tuple[float, ...]
    training_penalties: tuple[float, ...]
    rotations: tuple[str, ...]
    r1s: tuple[bool, ...]
    r2s: tuple[bool, ...]
    r4s: tuple[bool, ...]
    o_projs: tuple[bool, ...]
    blocks: tuple[int, ...]
    signs: tuple[bool, ...]
    permutations: tuple[str, ...]
    permuted_values: tuple[bool, ...]
    expansions: tuple[float, ...]
    scales: tuple[str, ...]
    objectives: tuple[str, ...]
    groupings: tuple[str, ...]
    refines: tuple[bool, ...]
    signed: tuple[bool, ...]
    storages: tuple[str, ...]
    roundings: tuple[str, ...]
    act_orders: tuple[bool, ...]
    dampings: tuple[float | None, ...]
    inputs: tuple[str, ...]
    interleavings: tuple[str, ...]
    calibration_texts: tuple[str, ...]
    calibration_windows: tuple[int, ...]
    calibration_lengths: tuple[int, ...]
    evaluation_texts: tuple[str, ...]
    evaluation_windows: tuple[int, ...]
    evaluation_lengths: tuple[int, ...]
    divergences: tuple[bool, ...]
    tasks: tuple[str, ...]
    limits: tuple[int, ...]
    seeds: tuple[int, ...]

    @classmethod
    def of(cls, recipes: Sequence[Recipe]) -> Knobs:
        """The values that these recipes use; what none of them says stands at its default."""
        default = Recipe()
        feedback = [r.rounding for r in recipes if r.rounding.method != "rtn"]
        looking = [r.rounding for r in recipes if looks_at_inputs(r)] or [default.rounding]
        piso = [r.scales for r in recipes if r.scales.method == "piso"] or [default.scales]
        weights = [r.weights for r in recipes if r.weights] or [default.weights]
        acting = [r.activations for r in recipes if r.activations]
        calibrations = [r.calibration for r in recipes if r.calibration] or [default.calibration]
        models = [r.model for r in recipes]
        evaluations = [r.evaluation for r in recipes]
        rounded = [r for r in recipes if r.weights] or [default]
        alike = [r for r in recipes if r.precision is None]
        return cls(
            sources=distinct(m.source for m in models),
            folders=distinct(m.name for m in models if m.source == "folder"),
            hub_ids=distinct(m.name for m in models if m.source == "hub"),
            revisions=distinct(m.revision or "" for m in models if m.source == "hub"),
            dtypes=distinct(m.dtype for m in models),
            weights=distinct(r.weights.format if r.weights else NONE for r in alike or recipes),
            weight_groups=groups(weights),
            weight_exponents=exponents(weights),
            activations=distinct(r.activations.format if r.activations else NONE for r in recipes),
            activation_groups=groups(acting),
            activation_exponents=exponents(acting),
            **budget_values(recipes),
            **transform_values(recipes),
            scales=distinct(r.scales.method for r in rounded),
            objectives=distinct(s.objective for s in piso),
            groupings=distinct(s.grouping for s in piso),
            refines=distinct(s.refine for s in piso),
            signed=distinct(s.signed for s in piso),
            storages=distinct(r.scales.storage for r in rounded),
            roundings=distinct(r.rounding.method for r in rounded),
            act_orders=distinct(r.act_order for r in feedback or [default.rounding]),
            dampings=distinct(r.damping for r in feedback or [default.rounding]),
            inputs=distinct(r.inputs for r in looking),
            interleavings=distinct(r.interleaving for r in looking),
            calibration_texts=distinct(
                r.calibration.text if r.calibration else NONE for r in recipes
            ),
            calibration_windows=distinct(c.windows for c in calibrations if c),
            calibration_lengths=distinct(c.length for c in calibrations if c),
            evaluation_texts=distinct(e.text for e in evaluations),
            evaluation_windows=distinct(e.windows for e in evaluations),
            evaluation_lengths=distinct(e.length for e in evaluations),
            divergences=distinct(e.divergence for e in evaluations),
            tasks=distinct(task for e in evaluations for task in e.tasks),
            limits=distinct(e.limit or 0 for e in evaluations),
            seeds=distinct(r.seed for r in recipes),
        )

    def sweep(self) -> Any:
        """The knobs as sweep JSON: one object, or a list of them where parts do not mix.

        Raises:
            InvalidRecipe: a knob without a value; names it.
        """
        self._require_values()
        common = {
            "model": one_or_many(self._models()),
            "activations": one_or_many(
                parts_by_sort(self.activations, self.activation_groups, self.activation_exponents)
            ),
            "calibration": self._calibration(),
            "evaluation": self._evaluation(),
            "seed": one_or_many(self.seeds),
        }
        return one_or_many(
            [
                {**common, **weights, **transform, **codes}
                for weights in self._weights()
                for transform in transform_parts(self)
                for codes in self._codes(weights["weights"] is None)
            ]
        )

    def recipes(self) -> list[Recipe]:
        """Every run of the sweep. Raises InvalidRecipe for a combination that cannot be run."""
        return expand(self.sweep())

    @property
    def starting_weights(self) -> list[str]:
        """The formats of weights before any budget widens them."""
        plain = self.weights if NONE in self.budget_methods else ()
        budgeted = set(self.budget_methods) - {NONE}
        return [*plain, *(starting_formats(self.budget_formats) if budgeted else ())]

    def _weights(self) -> list[dict[str, Any]]:
        """Weights without a budget, and with one, each in what it starts in."""
        sizes, rules = self.weight_groups, self.weight_exponents
        parts: list[dict[str, Any]] = []
        if NONE in self.budget_methods:
            parts += [{"weights": part} for part in parts_by_sort(self.weights, sizes, rules)]
        if set(self.budget_methods) == {NONE}:
            return parts
        starts = starting_formats(self.budget_formats)
        for formats, start in zip(self.budget_formats, starts, strict=True):
            (weights,) = parts_by_sort([start], sizes, rules)
            precision = one_or_many(budget_parts(self, formats))
            parts.append({"weights": weights, "precision": precision})
        return parts

    def _require_values(self) -> None:
        unused = {"folders", "hub_ids", "revisions", "tasks"} | needless(self)
        weights = self.starting_weights
        unused |= set() if self._needs_groups(weights) else {"weight_groups", "storages"}
        unused |= set() if self._needs_groups(self.activations) else {"activation_groups"}
        unused |= set() if mx(weights) else {"weight_exponents"}
        unused |= set() if mx(self.activations) else {"activation_exponents"}
        if set(weights) == {NONE}:
            unused |= {"scales"}
        if ROTATED not in self.rotations:
            unused |= set(ROTATION_KNOBS)
        if set(self.permutations) == {NONE}:
            unused |= {"permuted_values"}
        if "piso" not in self.scales:
            unused |= set(PISO_KNOBS)
        if set(self.roundings) == {"rtn"}:
            unused |= {"act_orders", "dampings"}
            unused |= set() if "piso" in self.scales else {"inputs", "interleavings"}
        if set(self.calibration_texts) == {NONE}:
            unused |= {"calibration_windows", "calibration_lengths"}
        for item in fields(self):
            if item.name not in unused and not getattr(self, item.name):
                name = item.name.replace("_", " ")
                raise InvalidRecipe(f"{name}: nothing is chosen", remedy="choose at least one")
        if "folder" in self.sources and not self.folders:
            raise InvalidRecipe("no model folder is named", remedy="type its path")
        if "hub" in self.sources and not self.hub_ids:
            raise InvalidRecipe("no Hub id is named", remedy="type one such as Qwen/Qwen3-0.6B")

    @staticmethod
    def _needs_groups(names: Iterable[str]) -> bool:
        return any(name != NONE and name not in mx([name]) for name in names)

    def _models(self) -> list[dict[str, Any]]:
        named: list[dict[str, Any]] = []
        if "demo" in self.sources:
            named.append({"source": "demo"})
        if "folder" in self.sources:
            named.append({"source": "folder", "name": one_or_many(self.folders)})
        if "hub" in self.sources:
            hub: dict[str, Any] = {"source": "hub", "name": one_or_many(self.hub_ids)}
            if any(self.revisions):
                hub["revision"] = one_or_many([name or None for name in self.revisions])
            named.append(hub)
        return [{**model, "dtype": one_or_many(self.dtypes)} for model in named]

    def _codes(self, is_float: bool) -> list[dict[str, Any]]:
        """Scales with the roundings that go with them; nothing to choose for float weights."""
        if is_float:
            # Alone, float weights keep the chosen rounding, so that a needless one is refused.
            alone = self.starting_weights == [NONE]
            return [{"rounding": one_or_many(self._roundings(looks=False))}] if alone else [{}]
        codes = []
        integers = self._needs_groups(self.starting_weights)
        stored = {"storage": one_or_many(self.storages)} if integers else {}
        if plain := [method for method in self.scales if method != "piso"]:
            scales = {"method": one_or_many(plain), **stored}
            roundings = one_or_many(self._roundings(looks=False))
            codes.append({"scales": scales, "rounding": roundings})
        if "piso" in self.scales:
            scales = {
                "method": "piso",
                "objective": one_or_many(self.objectives),
                "grouping": one_or_many(self.groupings),
                "refine": one_or_many(self.refines),
                "signed": one_or_many(self.signed),
                **stored,
            }
            looks = set(self.objectives) != {"identity"}
            roundings = one_or_many(self._roundings(looks=looks))
            codes.append({"scales": scales, "rounding": roundings})
        return codes

    def _roundings(self, *, looks: bool) -> list[dict[str, Any]]:
        """Every rounding with its knobs.

        Args:
            looks: whether the scales look at layer inputs, so that round-to-nearest does too.
        """
        seen = {
            "inputs": one_or_many(self.inputs),
            "interleaving": one_or_many(self.interleavings),
        }
        feedback = {
            "act_order": one_or_many(self.act_orders),
            "damping": one_or_many(self.dampings),
            **seen,
        }
        nearest = seen if looks else {}
        return [
            {"method": method, **(feedback if method != "rtn" else nearest)}
            for method in self.roundings
        ]

    def _calibration(self) -> Any:
        texts = [text for text in self.calibration_texts if text != NONE]
        parts: list[Any] = [None] if NONE in self.calibration_texts else []
        if texts:
            parts.append(
                {
                    "text": one_or_many(texts),
                    "windows": one_or_many(self.calibration_windows),
                    "length": one_or_many(self.calibration_lengths),
                }
            )
        return one_or_many(parts)

    def _evaluation(self) -> dict[str, Any]:
        return {
            "text": one_or_many(self.evaluation_texts),
            "windows": one_or_many(self.evaluation_windows),
            "length": one_or_many(self.evaluation_lengths),
            "divergence": one_or_many(self.divergences),
            "tasks": list(self.tasks),
            "limit": one_or_many([limit or None for limit in self.limits]),
        }


PISO_KNOBS = ("objectives", "groupings", "refines", "signed")
"""What only PiSO's scales ask."""


def sweep_text(sweep: Any) -> str:
    """A sweep as the text of a file that people read and the command line runs."""
    return json.dumps(sweep, indent=2, ensure_ascii=False) + "\n"
