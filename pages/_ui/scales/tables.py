"""One channel's scales, its pieces and the survey as tables, pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from pages._ui.scales.words import METHODS

if TYPE_CHECKING:
    from qcore.analysis.channels import Channel, Survey


def method_table(channel: Channel) -> pd.DataFrame:
    """What every method's scale does to the channel."""
    rows = channel.rounded.items()
    return pd.DataFrame(
        {
            "method": [METHODS[name] for name, _ in rows],
            "scale": [item.landing.scale for _, item in rows],
            "error": [item.landing.error for _, item in rows],
            "captured_error": [item.captured_error for _, item in rows],
            "clipped": [item.clipped for _, item in rows],
            "clipped_energy": [item.clipped_energy for _, item in rows],
            "zero": [item.zero for _, item in rows],
        }
    )


def survey_table(survey: Survey) -> pd.DataFrame:
    """Every surveyed channel's error under every method."""
    return pd.DataFrame(
        {
            "channel": survey.channel,
            **{f"{name}_error": values for name, values in survey.error.items()},
            "gain_over_absmax": survey.gain("absmax"),
            "gain_over_mse": survey.gain("mse"),
        }
    )


def piece_table(channel: Channel) -> pd.DataFrame:
    """Every piece of the channel's error, by falling scale."""
    pieces = channel.objective
    return pd.DataFrame(
        {
            "scale_high": pieces.high,
            "scale_low": pieces.low,
            "alpha": pieces.alpha,
            "beta": pieces.beta,
            "best_scale": pieces.best_scale,
            "best_error": pieces.best_error,
        }
    )
