"""What a soak scenario found: how often something was tried, and every time that it went wrong."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Outcome:
    """One scenario's tally.

    Attributes:
        tried: how often, in words: `kills`, `cancels`, …
        count: that many.
        failed: a sentence for each time that was not as promised.
        numbers: what was measured, name → value with its unit.
        left_out: why nothing was tried; empty where it was.
    """

    tried: str
    count: int = 0
    failed: list[str] = field(default_factory=list)
    numbers: dict[str, str] = field(default_factory=dict)
    left_out: str = ""

    def expect(self, holds: bool, sentence: str) -> None:
        """Note the sentence unless it `holds`."""
        if not holds:
            self.failed.append(sentence)
