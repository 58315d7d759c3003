"""What a page over captures shows while there is none."""

from __future__ import annotations

from pages._ui import empty
from pages._ui.captures import again, engine
from qcore.recipe import Recipe

_LISTED = 5
"""Lost captures that are offered at once, the newest first."""


def invite() -> None:
    """Offer the captures that were lost, or a run that makes a first one."""
    lost = engine.evicted()
    for capture in lost[:_LISTED]:
        again.offer_evicted(capture)
    if not lost:
        empty.captures(Recipe)
