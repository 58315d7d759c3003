"""A home that cannot be written answers exact repeats, and says why it runs nothing new."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from cache.store import Cache
from qcore import cli
from qcore.errors import DiskFull
from qcore.pipeline import preview, run
from tests.pipeline.factories import Workshop
from tests.report.helpers_hostile import read_only


@pytest.fixture
def whole(tmp_path: Path, checkpoint: Path, prose: Path) -> Workshop:
    """A home with its network and text inside: all that a reader needs."""
    model = Path(shutil.copytree(checkpoint, tmp_path / "network"))
    text = Path(shutil.copy(prose, tmp_path / "prose.txt"))
    return Workshop(tmp_path, model, text)


def test_an_exact_repeat_is_answered_and_a_new_run_is_refused_with_the_reason(
    whole, monkeypatch, capsys
):
    recipe = whole.recipe()
    kept = whole.run(recipe)
    whole.cache.close()
    (whole.root / "recipe.json").write_text(recipe.to_json())
    monkeypatch.setenv("QUANTSCOPE_HOME", str(whole.root))
    with read_only(whole.root):
        cache = Cache(whole.root / "cache")
        assert preview([recipe], cache, root=whole.root).finished == 1
        assert run(recipe, cache=cache, emit=lambda event: None, root=whole.root) == kept
        assert cli.main(["run", str(whole.root / "recipe.json"), "--json"]) == 0
        assert capsys.readouterr().out.strip() == kept.to_json()
        other = whole.recipe(weights={"format": "int3"})
        with pytest.raises(DiskFull, match="make it writable"):
            run(other, cache=cache, emit=lambda event: None, root=whole.root)
