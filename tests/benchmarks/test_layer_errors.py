"""The errors of all layers: what the comparison counts, on a tiny network."""

from __future__ import annotations

from benchmarks.layer_errors import compare_methods, float_moments
from tests.models.factories import tiny_model, tiny_windows


def test_no_layer_rounded_to_nearest_is_worse_with_piso():
    model = tiny_model()
    moments = float_moments(model, tiny_windows())
    rows = compare_methods(model, moments, moments, bits=3)
    assert [(row["rounding"], row["scales"]) for row in rows][:3] == [
        ("rtn", "absmax"),
        ("rtn", "mse"),
        ("rtn", "piso"),
    ]
    assert (rows[2]["above absmax"], rows[2]["above mse"]) == (0, 0)
    assert rows[2]["median"] < min(rows[0]["median"], rows[1]["median"])
    # The same text twice: what is held out is what was fitted to.
    assert all(row["held out"] == row["median"] for row in rows)
