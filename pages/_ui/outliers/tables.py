"""Measures of sites and blocks as tables, pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from pages._ui.outliers.words import MEASURES, outcomes

if TYPE_CHECKING:
    from qcore.analysis.captures import Place, RotationEffect, View


def place_table(places: Sequence[Place]) -> pd.DataFrame:
    """The map as a table: one row per layer and site."""
    return pd.DataFrame(
        {
            "layer": [place.block for place in places],
            "site": [place.site for place in places],
            "width": [place.width for place in places],
            **{name: [getattr(place.measures, name) for place in places] for name in MEASURES},
        }
    )


def block_table(view: View) -> pd.DataFrame:
    """Every block of the rotation under each order of channels, the worst first."""
    parts = [_blocks(name, outcome) for name, outcome in outcomes(view)]
    if not parts:
        return pd.DataFrame(columns=["order", "block"])
    return pd.concat(parts).sort_values(
        ["flagged", "worse", "mass"], ascending=False, kind="stable", ignore_index=True
    )


def _blocks(name: str, outcome: RotationEffect) -> pd.DataFrame:
    mean = float(outcome.mass.mean())
    return pd.DataFrame(
        {
            "order": name,
            "block": np.arange(len(outcome.mass)),
            "mass": outcome.mass,
            "mass_over_mean": outcome.mass / mean if mean else np.ones_like(outcome.mass),
            "peak_before": outcome.peak_before,
            "peak_after": outcome.peak_after,
            "worse": outcome.worse,
            "flagged": np.isin(np.arange(len(outcome.mass)), outcome.flagged),
        }
    )
