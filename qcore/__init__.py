"""The engine: recipes in, reports out. Knows no widget and draws nothing.

For notebooks the names below stand here; each is imported when it is first used, so that importing
qcore itself waits for nothing.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from qcore.api.notebook import library, run, sweep
    from qcore.recipe import Recipe
    from qcore.report.report import Report

__all__ = ["Recipe", "Report", "library", "run", "sweep"]

_PLACES = {
    "Recipe": "qcore.recipe",
    "Report": "qcore.report.report",
    "library": "qcore.api.notebook",
    "run": "qcore.api.notebook",
    "sweep": "qcore.api.notebook",
}


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    found = getattr(importlib.import_module(_PLACES[name]), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
