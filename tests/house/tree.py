"""The files of this repository, as the tests of the house see them."""

from __future__ import annotations

import ast
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
PRODUCT = ("app.py", "dashboard.py", "pages", "qcore", "kernels", "cache")
"""What ships: everything but tests, benchmarks and documentation."""


def python_files(*parts: str) -> list[Path]:
    """Python files in these folders, and those files themselves, where they exist."""
    found: list[Path] = []
    for part in parts:
        path = ROOT / part
        found += [path] if path.is_file() else sorted(path.rglob("*.py"))
    return found


def markdown_files() -> list[Path]:
    """Documentation: the top folder's and everything in docs."""
    return [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]


def trees(*parts: str) -> Iterator[tuple[str, ast.Module]]:
    """(path from the root, syntax tree) of each Python file."""
    for path in python_files(*parts):
        yield str(path.relative_to(ROOT)), ast.parse(path.read_text(encoding="utf-8"))


def make(*arguments: str, folder: Path = ROOT) -> str:
    """What `make` prints, as if nobody had called it from another make."""
    inherited = {"MAKEFLAGS", "MAKEOVERRIDES", "MFLAGS", "MAKELEVEL", "PORT", "HOST", "PYTHON"}
    clean = {name: value for name, value in os.environ.items() if name not in inherited}
    command = ["make", *arguments]
    done = subprocess.run(
        command, cwd=folder, env=clean, capture_output=True, text=True, check=True, timeout=60
    )
    return done.stdout


def calls(tree: ast.Module) -> Iterator[tuple[str, ast.Call]]:
    """(dotted name, call) of each call whose function has a plain dotted name."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = _dotted(node.func)
            if name:
                yield name, node


def imports(tree: ast.Module) -> set[str]:
    """Top-level packages that a file imports, wherever in it."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.partition(".")[0])
    return found


def _dotted(node: ast.expr) -> str:
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        inner = _dotted(node.value)
        return f"{inner}.{node.attr}" if inner else ""
    return ""


def import_graph(*parts: str) -> dict[str, set[str]]:
    """Module → the modules among `parts` that it imports, wherever in it; late and type-only too.

    A package is not counted as imported by the modules inside it.
    """
    files = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
        for path in python_files(*parts)
    }
    graph: dict[str, set[str]] = {}
    for module, path in files.items():
        named: set[str] = set()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                named |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                named |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        graph[module] = {
            name for name in named & files.keys() if not f"{module}.".startswith(f"{name}.")
        }
    return graph


def page_addresses() -> tuple[str, ...]:
    """The addresses of all pages, below the dashboard's own; Home's is empty."""
    names = sorted(path.stem for path in (ROOT / "pages").glob("[!_]*.py"))
    return ("", *(name for name in names if name != "home"))


def circles(graph: dict[str, set[str]]) -> list[list[str]]:
    """Modules that import each other in a circle: the strongly connected parts of more than one."""
    reached = {start: _reachable(graph, start) for start in graph}
    found = {
        tuple(sorted(other for other in reached[start] if start in reached[other]))
        for start in graph
    }
    return sorted(list(circle) for circle in found if len(circle) > 1)


def _reachable(graph: dict[str, set[str]], start: str) -> set[str]:
    """Everything that `start` imports, straight or through others."""
    seen: set[str] = set()
    waiting = [start]
    while waiting:
        for name in graph[waiting.pop()] - seen:
            seen.add(name)
            waiting.append(name)
    return seen
