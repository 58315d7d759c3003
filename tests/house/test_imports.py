"""Who imports whom, and from where."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions

from tests.house.tree import PRODUCT, ROOT, imports, python_files, trees

OURS = {"app", "dashboard", "pages", "qcore", "kernels", "cache", "benchmarks", "tests"}
LINT = "from importlinter.cli import lint_imports_command as run; run(['--no-cache', '--no-logo'])"


def project() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", re.split(r"[\s;\[<>=!~]", name)[0]).lower()


def test_the_import_contracts_hold():
    done = subprocess.run(
        [sys.executable, "-c", LINT],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_package_that_the_product_imports_is_a_declared_dependency():
    declared = {normal(line) for line in project()["project"]["dependencies"]}
    # The gate is run in an environment of its own, by path, and imported by nothing.
    declared |= {normal(line) for line in project()["project"]["optional-dependencies"]["verify"]}
    owners = packages_distributions()
    undeclared = {
        f"{path} imports {name}"
        for path, tree in trees(*PRODUCT, "benchmarks")
        for name in imports(tree) - OURS - sys.stdlib_module_names - {"__future__"}
        if not declared & {normal(owner) for owner in owners.get(name, [name])}
    }
    assert not undeclared


def test_every_dependency_is_pinned_exactly_but_triton():
    wanted = {normal(line) for line in project()["project"]["dependencies"]}
    wanted |= {normal(line) for line in project()["project"]["optional-dependencies"]["dev"]}
    wanted |= {normal(line) for line in project()["project"]["optional-dependencies"]["verify"]}
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    assert all(re.fullmatch(r"[a-z0-9-]+==[0-9][0-9a-z.]*", pin) for pin in pins), pins
    assert wanted - {pin.partition("==")[0] for pin in pins} == {"triton"}


def test_the_distribution_claims_no_import_name():
    assert project()["tool"]["setuptools"]["packages"] == []
    assert packages_distributions().get("kernels", []) == []


def test_no_module_of_ours_is_imported_under_another_word():
    renamed = {
        f"{path}: {name.name} as {name.asname}"
        for path, tree in trees(*PRODUCT)
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in node.names
        if name.asname and (_module(node, name) or name.name).split(".")[0] in OURS
        if _is_module(_module(node, name))
    }
    assert not renamed


def _module(node: ast.Import | ast.ImportFrom, name: ast.alias) -> str:
    """The dotted path of what an import names."""
    return name.name if isinstance(node, ast.Import) else f"{node.module}.{name.name}"


def _is_module(dotted: str) -> bool:
    path = ROOT.joinpath(*dotted.split("."))
    return path.is_dir() or path.with_suffix(".py").exists()


def test_every_page_is_entered_through_the_app():
    pages = [path for path in python_files("pages") if path.parent.name == "pages"]
    asked = {path.stem for path in pages if "entry.through_app()" in path.read_text("utf-8")}
    assert asked == {path.stem for path in pages} - {"__init__"}


def test_colours_stand_in_the_palette_alone():
    colour = re.compile(r"""["'\s](#[0-9A-Fa-f]{3,8})\b|\b(?:rgb|hsl)a?\(""")
    coloured = [
        f"{path}: {found.group().strip()}"
        for path in python_files("app.py", "dashboard.py", "pages")
        if path.name != "palette.py"
        for found in colour.finditer(path.read_text("utf-8"))
    ]
    assert not coloured


def test_the_folder_kernels_carries_no_version():
    for path in python_files("kernels"):
        assert "__version__" not in path.read_text(encoding="utf-8"), path


def test_no_module_is_called_utils():
    vague = {"utils", "util", "helpers", "misc", "common"}
    assert not [path for path in python_files(*PRODUCT) if path.stem in vague]
