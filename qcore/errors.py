"""Every error that Quantscope raises on purpose.

    QuantscopeError
    ├── InvalidRecipe            a recipe that cannot be run as written
    ├── ModelError
    │   ├── UnsupportedModel     an architecture, or a feature of one, that we do not know
    │   ├── UnsafeWeights        pickled weights, or code that a checkpoint wants to run
    │   ├── BrokenCheckpoint     missing, truncated or contradictory files
    │   └── NotDownloaded        a Hub model that is not on this machine yet, and was not fetched
    ├── DataError                a text, a task or a log that cannot be read
    ├── NumericalError
    │   └── NotPositiveDefinite  a Hessian with no Cholesky factor at any damping tried
    ├── KernelError              an operation that cannot be done on what it was given
    ├── OutOfMemory              a device or the machine has no room left
    ├── CacheError
    │   ├── CorruptEntry         a stored record or array that is not what was written
    │   └── DiskFull             nothing can be stored
    ├── JobError                 a job that cannot be submitted, found, cancelled or resumed
    │   └── JobCancelled         somebody asked the job to stop
    ├── ExportError              a run that cannot be written for a reader, or what fails its gate
    └── ShareError               a bundle or a board that cannot be made, or read

A message says a fact, with its number, and the remedy: "block 48 does not divide 1536; choose 16,
32, 64, 128, 256 or 512". The remedy is an argument of its own so that none is forgotten. Both may
quote what somebody wrote, so both are bounded in length, and control characters in them are written
out: a terminal obeys none. Pages and the command line catch `QuantscopeError` alone; anything else
is a defect of ours.
"""

import unicodedata

LONGEST = 400
"""Characters of a fact, and of a remedy."""


def printable(text: str, longest: int = LONGEST) -> str:
    """Text that a terminal and a page can show: on one line, bounded, controls written out."""
    if len(text) > longest:
        text = f"{text[: longest - 40]} … ({len(text) - longest + 40:,} characters more)"
    if text.isprintable():
        return text
    return "".join(_shown(sign) for sign in text)


def _shown(sign: str) -> str:
    if sign in "\n\t":
        return " "
    # Other, but for what private use areas hold: controls, bidirectional marks, lone surrogates.
    if unicodedata.category(sign) in ("Cc", "Cf", "Cs") or sign in "\u2028\u2029":
        return sign.encode("unicode_escape").decode("ascii")
    return sign


class QuantscopeError(Exception):
    """Root of the tree.

    Args:
        fact: what is wrong, with the number that shows it; lower case, no full stop.
        remedy: what the reader can do about it, in the imperative.
    """

    def __init__(self, fact: str, *, remedy: str):
        self.fact, self.remedy = printable(fact), printable(remedy)
        super().__init__(f"{self.fact}; {self.remedy}")

    def __reduce__(self):
        # Keyword-only arguments do not survive the default pickling that process pools use.
        return (_rebuild, (type(self), self.fact, self.remedy))


def _rebuild(kind: type[QuantscopeError], fact: str, remedy: str) -> QuantscopeError:
    return kind(fact, remedy=remedy)


class InvalidRecipe(QuantscopeError):
    """A recipe that cannot be run as written."""


class ModelError(QuantscopeError):
    """A model that cannot be used."""


class UnsupportedModel(ModelError):
    """An architecture, or a feature of one, that we do not know."""


class UnsafeWeights(ModelError):
    """Pickled weights, or code that a checkpoint wants to run."""


class BrokenCheckpoint(ModelError):
    """Missing, truncated or contradictory model files."""


class NotDownloaded(ModelError):
    """A Hub model that is not on this machine yet, and was not to be fetched."""


class DataError(QuantscopeError):
    """A text, a task or a log that cannot be read."""


class NumericalError(QuantscopeError):
    """Arithmetic that has no usable result."""


class NotPositiveDefinite(NumericalError):
    """A Hessian with no Cholesky factor at any damping tried."""


class KernelError(QuantscopeError, ValueError):
    """An operation that cannot be done on what it was given; to its caller a wrong value."""


class OutOfMemory(QuantscopeError):
    """A device or the machine has no room left."""


class CacheError(QuantscopeError):
    """The cache cannot serve or keep a value."""


class CorruptEntry(CacheError):
    """A stored record or array that is not what was written."""


class DiskFull(CacheError):
    """Nothing can be stored."""


class JobError(QuantscopeError):
    """A job that cannot be submitted, found, cancelled or resumed."""


class JobCancelled(JobError):
    """Somebody asked the job to stop."""


class ExportError(QuantscopeError):
    """A run that cannot be written for a reader, or a written one that fails its gate."""


class ShareError(QuantscopeError):
    """A bundle or a board that cannot be made, or one that cannot be read as it is."""
