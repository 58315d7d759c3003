"""Every kind of tokenizer that is accepted at the door can be loaded."""

import json
import shutil

import pytest
import sentencepiece

from qcore.errors import BrokenCheckpoint, ModelError
from qcore.models import tokenizers
from qcore.models.loading import load, resolve
from tests.models.factories import PROSE
from tests.models.folders import ref, write_folder


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    root = tmp_path_factory.mktemp("made")
    (root / "prose.txt").write_text(PROSE * 50)
    sentencepiece.SentencePieceTrainer.train(
        input=str(root / "prose.txt"),
        model_prefix=str(root / "pieces"),
        vocab_size=60,
        model_type="bpe",
        normalization_rule_name="identity",
        minloglevel=9,
    )
    return write_folder(root / "made")


@pytest.fixture
def folder(made, tmp_path):
    copy = shutil.copytree(made, tmp_path / "model")
    (copy / "tokenizer.json").unlink()
    (copy / "tokenizer_config.json").unlink()
    return copy


@pytest.mark.parametrize("stated", [None, "LlamaTokenizer"])
def test_a_sentencepiece_model_alone_is_a_tokenizer(folder, made, tmp_path, stated):
    shutil.copy(made.parent / "pieces.model", folder / "tokenizer.model")
    if stated:
        (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": stated}))
    tokenizer = load(resolve(ref(folder), tmp_path), tmp_path).tokenizer
    own = sentencepiece.SentencePieceProcessor(model_file=str(folder / "tokenizer.model"))
    found = tokenizer("noon, the rain", add_special_tokens=False)["input_ids"]
    assert tokenizer.decode(found).strip() == "noon, the rain"
    assert found == own.encode("noon, the rain")


def test_without_its_package_a_sentencepiece_model_is_refused_by_the_right_name(
    folder, made, tmp_path, monkeypatch
):
    shutil.copy(made.parent / "pieces.model", folder / "tokenizer.model")
    monkeypatch.setattr(tokenizers.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ModelError, match=r"the package sentencepiece .* run `make run`"):
        resolve(ref(folder), tmp_path)


def test_a_tiktoken_vocabulary_is_refused_with_what_helps(folder, tmp_path):
    (folder / "tokenizer.model").write_text("IQ== 0\nIg== 1\n")
    with pytest.raises(BrokenCheckpoint, match=r"no SentencePiece model; add tokenizer\.json"):
        resolve(ref(folder), tmp_path)


def test_a_vocabulary_needs_its_merges(folder, made, tmp_path):
    model = json.loads((made / "tokenizer.json").read_text())["model"]
    (folder / "vocab.json").write_text(json.dumps(model["vocab"]))
    with pytest.raises(BrokenCheckpoint, match=r"has vocab\.json and no merges\.txt"):
        resolve(ref(folder), tmp_path)
    merges = "\n".join(" ".join(pair) for pair in model["merges"])
    (folder / "merges.txt").write_text(f"#version: 0.2\n{merges}\n")
    (folder / "tokenizer_config.json").write_text('{"tokenizer_class": "Qwen2Tokenizer"}')
    network = load(resolve(ref(folder), tmp_path), tmp_path)
    assert network.tokenizer.decode(network.tokenizer("rain")["input_ids"]) == "rain"
