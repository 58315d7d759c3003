"""What may be said about a folder and a server: one word, and why.

- **exact**: the server's own code was run on the files; every tensor equals ours to the bit and
  the log-probabilities agree.
- **smoke-tested**: it was run and answers within a stated band, which is wider than rounding.
- **unverified**: by its documented rules it loads this; nobody has run it here.
- **refused**: it cannot serve this, and the sentence says why.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Word = Literal["exact", "smoke-tested", "unverified", "refused"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one server makes of an export.

    Attributes:
        target: `transformers`, `vLLM` or `llama.cpp`.
        word: see the module's text.
        why: one sentence, with the number or the rule behind it.
    """

    target: str
    word: Word
    why: str
