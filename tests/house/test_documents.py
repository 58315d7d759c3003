"""Documentation and commands agree with each other and with the files."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from qcore.cli import entry
from qcore.pipeline.stage import STAGES
from tests.house.tree import PRODUCT, ROOT, make, markdown_files, trees

LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
FENCE = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
README = (ROOT / "README.md").read_text(encoding="utf-8")


def make_targets() -> set[str]:
    return set(re.findall(r"^([a-z][a-z-]*):", MAKEFILE, re.MULTILINE))


def named_targets(text: str) -> set[str]:
    """Targets that a document tells the reader to make: `make a b VAR=…` in code."""
    code = re.findall(r"`([^`\n]+)`", text) + re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
    lines = re.findall(r"^make ([a-z -]+)", "\n".join(code), re.MULTILINE)
    return {word for line in lines for word in line.split()}


@pytest.mark.parametrize("path", markdown_files(), ids=lambda path: str(path.relative_to(ROOT)))
def test_links_to_files_resolve(path: Path):
    text = FENCE.sub("", COMMENT.sub("", path.read_text(encoding="utf-8")))
    targets = [link.partition("#")[0] for link in LINK.findall(text) if ":" not in link]
    assert not [link for link in targets if link and not (path.parent / link).exists()]


@pytest.mark.parametrize("path", markdown_files(), ids=lambda path: str(path.relative_to(ROOT)))
def test_commands_in_documents_exist_in_the_makefile(path: Path):
    assert named_targets(path.read_text(encoding="utf-8")) <= make_targets()


def test_the_readme_names_the_two_commands():
    assert {"run", "test"} <= named_targets(README)


def test_help_lists_every_target_that_can_be_made():
    phony = set(re.findall(r"^\.PHONY: (.*)", MAKEFILE, re.MULTILINE)[0].split())
    help_text = make("help")
    assert phony == make_targets() == set(re.findall(r"^  make ([a-z-]+)", help_text, re.MULTILINE))


def test_command_line_examples_name_commands_that_exist():
    named = set(re.findall(r"python -m qcore ([a-z]+)", README))
    usage = subprocess.run(
        [sys.executable, "-m", "qcore", "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert named == set(re.findall(r"^    ([a-z]+)(?:  |$)", usage, re.MULTILINE))


def test_commands_in_messages_exist():
    """A remedy that names a command names one that there is."""
    commands = set(entry.COMMANDS)
    named = [
        (path, words)
        for path, tree in trees(*PRODUCT)
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
        for words in re.findall(r"`(make [a-z -]+|[\w./]*python -m qcore [a-z]+)", node.value)
    ]
    assert len(named) > 8
    for path, words in named:
        known = make_targets() if words.startswith("make ") else commands
        target = words.split()[1 if words.startswith("make ") else 3]
        assert target in known, f"{path}: {words}"


def test_the_readmes_sweep_has_as_many_runs_as_it_says():
    from qcore.recipe.sweep import expand
    from qcore.serialization import parse_json

    example = re.findall(r"```json\n(.*?)```", README, re.DOTALL)[0]
    assert "This sweep is twelve runs" in README
    assert len(expand(parse_json(example))) == 12


def test_the_readmes_tree_names_only_what_exists():
    tree = next(block for block in FENCE.findall(README) if "app.py" in block)
    above = [ROOT]
    for line in tree.splitlines()[1:-1]:
        depth = (len(line) - len(line.lstrip())) // 2
        path = above[depth] / line.split()[0]
        assert path.exists(), path
        above[depth + 1 :] = [path]


def test_the_documentation_index_lists_every_page():
    index = (ROOT / "docs" / "README.md").read_text(encoding="utf-8")
    pages = {path.name for path in (ROOT / "docs").glob("*.md")} - {"README.md"}
    assert pages <= set(LINK.findall(index))


def test_the_changelog_has_a_place_for_what_comes_next():
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.search(r"^## \[Unreleased\]$", changes, re.MULTILINE)


def test_the_makefile_names_no_package_index():
    assert not re.search(r"https?://(?!\$\(HOST\))|index-url|find-links", MAKEFILE)


def test_continuous_integration_runs_the_readmes_test_command():
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    lines = script.read_text(encoding="utf-8").splitlines()
    assert lines[0] == "#!/usr/bin/env bash"
    assert "set -euo pipefail" in lines
    assert lines[-1] == "make test"


def test_commit_hooks_download_nothing():
    hooks = (ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8")
    assert re.findall(r"repo: (\S+)", hooks) == ["local"]
    assert set(re.findall(r"language: (\S+)", hooks)) == {"system"}


def test_the_documented_stages_are_the_stages_in_their_order():
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    table = text.split("| Stage | From | To |")[1].split("\n\n")[0]
    documented = re.findall(r"^\| (\w+) \|", table, re.MULTILINE)
    assert documented == [stage.name for stage in STAGES]


def test_every_scenario_of_the_soak_is_described_and_has_a_tally():
    from tests.soak.run import SCENARIOS

    files = {path.stem for path in (ROOT / "tests" / "soak").glob("*.py")}
    assert set(SCENARIOS) <= files
    text = (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| ([a-z ]+) \|", text, re.MULTILINE)
    for scenario in SCENARIOS:
        assert rows.count(scenario.replace("_", " ")) == 2, scenario
