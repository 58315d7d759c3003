"""The floor plan: layers, circles, and names that do not repeat each other."""

from __future__ import annotations

import ast
import fnmatch
import re
import tomllib
from collections import Counter, defaultdict
from pathlib import Path

import pytest

from tests.house.tree import PRODUCT, ROOT, circles, import_graph, python_files, trees

TREE = re.compile(r"^## The tree\n+```\n(.*?)^```", re.DOTALL | re.MULTILINE)


def test_every_module_of_the_engine_stands_in_a_layer():
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    contracts = tomllib.loads(text)["tool"]["importlinter"]["contracts"]
    layers = next(each["layers"] for each in contracts if each["type"] == "layers")
    named = {name.strip("() ") for layer in layers for name in re.split("[|:]", layer)}
    engine = {f"qcore.{path.stem}" for path in (ROOT / "qcore").iterdir() if _is_module(path)}
    assert engine - {"qcore.__init__"} == {name for name in named if name.startswith("qcore.")}


def _is_module(path: Path) -> bool:
    return path.suffix == ".py" or (path.is_dir() and any(path.rglob("*.py")))


def test_no_imports_run_in_a_circle_late_and_type_only_ones_included():
    assert circles(import_graph(*PRODUCT)) == []


def test_the_search_for_circles_would_find_one():
    graph = {"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a", "d"}, "e": set()}
    assert circles(graph) == [["a", "b", "c"]]


def test_no_file_repeats_the_name_of_its_folder():
    repeated = [
        str(path.relative_to(ROOT))
        for path in python_files(*PRODUCT)
        if path.stem.startswith(f"{path.parent.name.strip('_')}_")
    ]
    assert not repeated


@pytest.mark.parametrize("top", ["pages", "kernels", "qcore"])
def test_no_folder_has_more_than_three_files_of_one_prefix(top: str):
    prefixes: dict[Path, Counter[str]] = defaultdict(Counter)
    for path in python_files(top):
        if "_" in path.stem.strip("_"):
            prefixes[path.parent][path.stem.strip("_").partition("_")[0]] += 1
    assert not [
        f"{folder.relative_to(ROOT)}: {count} files begin with {prefix}_"
        for folder, counts in prefixes.items()
        for prefix, count in counts.items()
        if count > 3
    ]


def test_no_class_name_stands_for_two_things():
    places: dict[str, list[str]] = defaultdict(list)
    for path, tree in trees(*PRODUCT):
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places[node.name].append(path)
    assert not {name: found for name, found in places.items() if len(found) > 1}


def test_twins_import_no_operation():
    """A twin and its reference share values; neither is built on the other."""
    offences = [
        f"{path} imports {module}"
        for path, tree in trees("kernels")
        if Path(path).name in ("compiled.py", "triton.py")
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (module := node.module or "")
        if module.startswith("kernels.") and module.endswith(".operation")
    ]
    assert not offences


def test_the_readmes_tree_has_every_folder_of_the_product():
    (tree,) = TREE.findall((ROOT / "README.md").read_text(encoding="utf-8"))
    above, drawn = [ROOT], set()
    for line in tree.splitlines():
        depth = (len(line) - len(line.lstrip())) // 2
        path = above[depth] / line.split()[0]
        above[depth + 1 :] = [path]
        drawn.add(path)
    folders = {path.parent for path in python_files(*PRODUCT)} - {ROOT}
    assert not sorted(str(path.relative_to(ROOT)) for path in folders - drawn)


def test_the_files_that_contributing_names_exist():
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    spans = re.findall(r"`([\w./*-]+)`", text)
    named = [
        span for span in spans if "/" in span or span.endswith((".py", ".md", ".toml", ".txt"))
    ]
    missing = []
    for span in named:
        if "*" in span:
            if not any(fnmatch.fnmatch(path.name, span) for path in python_files("benchmarks")):
                missing.append(span)
            continue
        # NAME and GROUP stand for what is being added: the folder above them must be there.
        path = ROOT / re.split(r"[^/]*(?:NAME|GROUP)", span)[0].rstrip("/")
        if not path.exists():
            missing.append(span)
    assert len(named) > 20
    assert not missing
