"""Constants of OCP Microscaling 1.0: 32 elements share a power of two, stored as E8M0."""

from __future__ import annotations

from typing import Literal

ScaleRule = Literal["floor", "midmax"]

BLOCK = 32

E8M0_NAN = 255

E8M0_MAX = 254
