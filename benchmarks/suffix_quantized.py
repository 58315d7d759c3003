"""Trained suffix networks in INT8, INT4, INT3 and INT2: rounding and scales against each other.

    python -m benchmarks.suffix_quantized --data FOLDER --scratch FOLDER [--logs SEPSIS …]
        [--folds 0 1 2 3 4]

--scratch is what `benchmarks.suffix` trained into; only folds that it has finished take part. Every
matrix is quantized, embeddings and recurrent ones too, by the same functions as a run's: scales by
output channel, second moments from the first 256 training cases. Answers are argmax, with the
limit on length that the float network was given on validation cases. Intervals are 95 %, over
cases. One row per log, fold, format and method; nothing is tuned.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks._measure import save, table
from benchmarks.suffix import LOGS
from qcore.pipeline.methods import Moments
from qcore.pipeline.suffix.answers import decode, losses
from qcore.pipeline.suffix.layers import in_order, is_embedding, quantize_matrix, weight_of
from qcore.pipeline.suffix.material import Material
from qcore.recipe import Recipe
from qcore.suffix.checkpoint import load_network
from qcore.suffix.matrices import second_moments, with_weights
from qcore.suffix.metrics import difference, scores, similarities, spread
from qcore.suffix.model import SuffixNetwork

BITS = (8, 4, 3, 2)
METHODS: dict[str, dict[str, Any]] = {
    "RTN, absmax": {"rounding": {"method": "rtn"}, "scales": {"method": "absmax"}},
    "RTN, least weight error": {"rounding": {"method": "rtn"}, "scales": {"method": "mse"}},
    "RTN, PiSO": {"rounding": {"method": "rtn"}, "scales": {"method": "piso"}},
    "GPTQ, absmax": {"rounding": {"method": "gptq"}, "scales": {"method": "absmax"}},
    "GPTQ, least weight error": {"rounding": {"method": "gptq"}, "scales": {"method": "mse"}},
    "GPTQ, PiSO": {"rounding": {"method": "gptq"}, "scales": {"method": "piso"}},
}


def main() -> None:
    arguments = _arguments()
    torch.set_num_threads(1)
    rows: list[dict[str, Any]] = []
    for name in arguments.logs:
        for fold in arguments.folds:
            done = arguments.scratch / f"{name}.{fold}.json"
            if done.exists():
                longest = json.loads(done.read_text())[0]["longest"]
                rows += run_fold(name, fold, arguments.data, arguments.scratch, longest)
                print(name, fold, flush=True)
    print(table(summary(rows)))
    print(save("suffix_quantized", rows))


def run_fold(name: str, fold: int, data: Path, scratch: Path, longest: int) -> list[dict[str, Any]]:
    """One row per format and method, the float network's first."""
    network, _ = load_network(scratch / f"{name}.{fold}")
    material = Material(_recipe(name, fold, data))
    asked = material.test
    true = material.true(asked)
    whole = decode(network, material.encoded, asked, "argmax", longest, None)
    base = similarities(whole, true)
    plain = losses(network, None, material.encoded, asked)
    moments = second_moments(network, material.calibration_batches())
    rows = [
        _row(name, fold, 32, "float", base, base, np.ones(len(base)), plain.losses, plain, asked)
    ]
    for bits in BITS:
        for method, parts in METHODS.items():
            recipe = _recipe(name, fold, data, weights={"format": f"int{bits}"}, **parts)
            rounded = quantized(recipe, network, moments)
            found = decode(rounded, material.encoded, asked, "argmax", longest, None)
            alike = np.array([a == b for a, b in zip(found, whole, strict=True)], float)
            near = similarities(found, true)
            loss = losses(rounded, None, material.encoded, asked).losses
            rows.append(_row(name, fold, bits, method, base, near, alike, loss, plain, asked))
    return rows


def quantized(
    recipe: Recipe, network: SuffixNetwork, moments: dict[str, torch.Tensor]
) -> SuffixNetwork:
    """The network with every matrix rounded as the recipe says."""
    assert recipe.weights is not None
    rounded = {}
    for matrix in in_order(network):
        width = matrix.weight.shape[1]
        seen = torch.eye(width) if is_embedding(matrix.name) else moments[matrix.name].float()
        layer = quantize_matrix(recipe, matrix, recipe.weights.value, Moments(seen))
        rounded[matrix.name] = weight_of(layer, width)
    return with_weights(network, rounded)


def summary(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Means over folds, one row per log, format and method."""
    found = []
    for key in dict.fromkeys((row["log"], row["bits"], row["method"]) for row in rows):
        folds = [row for row in rows if (row["log"], row["bits"], row["method"]) == key]
        found.append(
            {
                "log": key[0],
                "folds": len(folds),
                "bits": key[1],
                "method": key[2],
                **{
                    name: spread([row[name] for row in folds]).mean
                    for name in ("similarity", "change", "identical", "cross_entropy")
                },
                "worst change": min(row["change_low"] for row in folds),
            }
        )
    return found


def _row(name, fold, bits, method, base, near, alike, loss, plain, asked) -> dict[str, Any]:
    score, same = (scores(values, asked.case, asked.length) for values in (near, alike))
    change = difference(base, near, asked.case)
    return {
        "log": name,
        "fold": fold,
        "bits": bits,
        "method": method,
        "similarity": score.similarity,
        "low": score.low,
        "high": score.high,
        "change": change[0],
        "change_low": change[1],
        "change_high": change[2],
        "identical": same.similarity,
        "identical_low": same.low,
        "identical_high": same.high,
        "cross_entropy": sum(loss) / sum(plain.targets),
        "cases": score.cases,
        "prefixes": score.prefixes,
    }


def _recipe(name: str, fold: int, data: Path, **parts: Any) -> Recipe:
    return Recipe.from_dict(
        {
            "model": {"source": "suffix", "name": str((data / f"{name}.csv.gz").resolve())},
            "suffix": {
                "split": "file",
                "folds": str((data / f"{name}.folds.csv.gz").resolve()),
                "fold": fold,
            },
            "evaluation": {"text": "log/test", "windows": 1_000_000, "length": 32768},
            "weights": None,
            **parts,
        }
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--scratch", type=Path, required=True)
    parser.add_argument("--logs", nargs="+", choices=LOGS, default=list(LOGS))
    parser.add_argument("--folds", nargs="+", type=int, default=[0, 1, 2, 3, 4])
    return parser.parse_args()


if __name__ == "__main__":
    main()
