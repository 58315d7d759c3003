"""`families` and the documentation say the same."""

from pathlib import Path

from qcore.cli.entry import main
from qcore.models.families import FAMILIES

DOCS = Path(__file__).resolve().parents[2] / "docs" / "families.md"


def test_the_table_in_the_documentation_is_the_one_that_is_printed(capsys):
    assert main(["families", "--markdown"]) == 0
    printed = capsys.readouterr().out.strip()
    assert printed in DOCS.read_text(encoding="utf-8")
    assert len(printed.splitlines()) == len(FAMILIES) + 2


def test_every_family_is_a_line(capsys):
    assert main(["families"]) == 0
    lines = capsys.readouterr().out.splitlines()[1:]
    assert [line.split("  ")[0] for line in lines] == [item.name for item in FAMILIES.values()]
    refused = {line.split()[0] for line in lines if "  no  " in line}
    assert refused == {"Gemma", "OLMo"}
