"""Whatever a checkpoint can cause ends as a sentence about the checkpoint."""

import json
import shutil
import struct
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from qcore.errors import BrokenCheckpoint, ModelError
from qcore.models.config import DECISIVE
from qcore.models.folder import checkpoint_errors, examine
from qcore.models.headers import check_safetensors
from qcore.models.loading import load, resolve
from tests.models.factories import tiny_model, tiny_windows
from tests.models.folders import edit, ref, write_folder

FUZZ = settings(
    deadline=None, database=None, suppress_health_check=list(HealthCheck), print_blob=False
)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    root = tmp_path_factory.mktemp("made")
    write_folder(root / "llama")
    return write_folder(root / "qwen2", "qwen2")


@pytest.fixture
def llama(made, tmp_path):
    return shutil.copytree(made.parent / "llama", tmp_path / "model")


@pytest.fixture
def qwen2(made, tmp_path):
    return shutil.copytree(made, tmp_path / "model")


HEALTHY = {
    "fractions written as whole numbers": {"rms_norm_eps": 1, "rope_theta": 10000},
    "an attention kernel from elsewhere": {"attn_implementation": "somebody/flash-attention"},
    "an unknown attention": {"_attn_implementation": "magic"},
    "an unknown type": {"dtype": "banana", "torch_dtype": 7},
    "tuples for results": {"return_dict": False, "use_return_dict": False},
    "attentions asked for": {"output_attentions": True, "output_hidden_states": True},
    "labels of a classifier": {"id2label": 3, "num_labels": "x", "problem_type": 5},
    "tokens of another vocabulary": {"pad_token_id": 10**6, "bos_token_id": "x"},
    "dropped heads": {"pruned_heads": {"0": [1]}},
    "no type of tokenizer": {"tokenizer_class": 5, "transformers_version": []},
}


@pytest.mark.parametrize("what", HEALTHY)
def test_a_config_may_say_what_does_not_concern_the_network(llama, tmp_path, what):
    edit(llama / "config.json", **HEALTHY[what])
    network = load(resolve(ref(llama), tmp_path), tmp_path)
    assert network.model.config._attn_implementation == "sdpa"
    if "rms_norm_eps" not in HEALTHY[what]:
        with torch.no_grad():
            found, own = network.model(tiny_windows()).logits, tiny_model()(tiny_windows()).logits
        assert torch.equal(found, own)


REFUSED = {
    "a size as text": ({"hidden_size": "64"}, "hidden_size is '64', not a whole number"),
    "no heads": ({"num_attention_heads": 0}, "num_attention_heads is 0, not a whole number"),
    "a size that is a fraction": ({"vocab_size": 300.0}, "vocab_size is 300.0, not a whole"),
    "true for a number": ({"num_hidden_layers": True}, "num_hidden_layers is True"),
    "a number of 400 digits": ({"head_dim": 10**399}, "head_dim is 1000"),
    "no context": ({"max_position_embeddings": 0}, "max_position_embeddings is 0"),
    "heads that do not share": ({"num_key_value_heads": 3}, "3 value heads do not divide 4"),
    "an unknown activation": ({"hidden_act": "gelufoo"}, "cannot be loaded: KeyError"),
    "an activation that is none": ({"hidden_act": ["silu"]}, "cannot be loaded"),
    "half a rotary embedding": ({"rope_parameters": {"rope_type": "dynamic"}}, "factor"),
    "a rotary factor as text": (
        {"rope_parameters": {"rope_type": "dynamic", "factor": "8", "rope_theta": 1e4}},
        "cannot be loaded",
    ),
    "rotary parameters as a list": ({"rope_parameters": [1]}, "cannot be loaded"),
    "an epsilon as text": ({"rms_norm_eps": "small"}, "rms_norm_eps"),
    "tied to a word": ({"tie_word_embeddings": "yes"}, "tie_word_embeddings"),
    "architectures as a number": ({"architectures": 5}, "holds a 5, not a language model"),
    "architectures as an object": ({"architectures": {"a": 1}}, "not a language model"),
    "no architecture": ({"model_type": ["llama"]}, "is unknown"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_a_config_that_contradicts_itself_is_a_sentence(llama, tmp_path, what):
    changes, sentence = REFUSED[what]
    edit(llama / "config.json", **changes)
    with pytest.raises(ModelError, match=sentence):
        load(resolve(ref(llama), tmp_path), tmp_path)


LAYERS = {
    "too few": (["full_attention"], "1 layer_types for 3 decoder blocks"),
    "unknown": (["full_attention", "chunked_attention", "full_attention"], "may name"),
    "not a list": ("full_attention", "may name"),
    "not words": ([1, 2, 3], "may name"),
    "sliding without a window": (["sliding_attention"] * 3, "no sliding_window is in use"),
}


@pytest.mark.parametrize("what", LAYERS)
def test_layer_types_that_contradict_are_refused_before_loading(qwen2, tmp_path, what):
    layers, sentence = LAYERS[what]
    edit(qwen2 / "config.json", layer_types=layers)
    with pytest.raises(BrokenCheckpoint, match=sentence):
        resolve(ref(qwen2), tmp_path)


HEADERS = {
    "an unknown type": (
        b'{"a": {"dtype": "F8_E9M9", "shape": [4], "data_offsets": [0, 4]}}',
        "the type 'F8_E9M9' is unknown",
    ),
    "nested metadata": (
        b'{"__metadata__": {"format": {"a": "pt"}}, "a": {"dtype": "U8", "shape": [4], '
        b'"data_offsets": [0, 4]}}',
        "metadata is more than names and texts",
    ),
    "metadata as a list": (b'{"__metadata__": []}', "metadata is more than names"),
    "a name twice": (
        b'{"a": {"dtype": "U8", "shape": [4], "data_offsets": [0, 4]}, '
        b'"a": {"dtype": "U8", "shape": [4], "data_offsets": [0, 4]}}',
        "names something twice",
    ),
    "spans as fractions": (
        b'{"a": {"dtype": "U8", "shape": [4], "data_offsets": [0.0, 4.0]}}',
        "cannot be read",
    ),
    "a type that is none": (
        b'{"a": {"dtype": ["U8"], "shape": [4], "data_offsets": [0, 4]}}',
        "cannot be read",
    ),
    "a shape of 5,000 digits": (
        b'{"a": {"dtype": "U8", "shape": [' + b"9" * 5000 + b'], "data_offsets": [0, 4]}}',
        "cannot be read",
    ),
    "depth": (b'{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "cannot be read"),
}


def write_header(path: Path, header: bytes, data: bytes = bytes(4)) -> Path:
    path.write_bytes(struct.pack("<Q", len(header)) + header + data)
    return path


@pytest.mark.parametrize("what", HEADERS)
def test_a_header_that_contradicts_itself_is_a_sentence(tmp_path, what):
    header, sentence = HEADERS[what]
    path = write_header(tmp_path / "a.safetensors", header)
    with pytest.raises(BrokenCheckpoint, match=rf"a\.safetensors is damaged: .*{sentence}"):
        check_safetensors(path)


def test_types_that_take_less_than_a_byte_are_measured_in_bits(tmp_path):
    header = b'{"a": {"dtype": "F4", "shape": [2, 4], "data_offsets": [0, 4]}}'
    (stored,) = check_safetensors(write_header(tmp_path / "a.safetensors", header))
    assert (stored.dtype, stored.shape) == ("F4", (2, 4))


class Odd(Exception):
    """An error of a library's own kind."""


@pytest.mark.parametrize("error", [Odd("odd"), ImportError("x"), IndexError(), SyntaxError("a\nb")])
def test_an_error_of_any_kind_becomes_the_checkpoints(tmp_path, error):
    with (
        pytest.raises(BrokenCheckpoint, match=type(error).__name__),
        checkpoint_errors(tmp_path, "be loaded"),
    ):
        raise error


@pytest.mark.parametrize(
    "error", [MemoryError(), torch.OutOfMemoryError("x"), RuntimeError("can't allocate memory")]
)
def test_a_machine_without_memory_is_not_the_checkpoints_fault(tmp_path, error):
    with pytest.raises(type(error)), checkpoint_errors(tmp_path):
        raise error


PLAIN = (
    st.none()
    | st.booleans()
    | st.integers(-3, 70)
    | st.integers()
    | st.floats(allow_nan=True)
    | st.text(max_size=6)
    | st.sampled_from(["dynamic", "llama3", "full_attention", "sliding_attention", "relu"])
)
JSON = st.recursive(
    PLAIN,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.text(max_size=4) | st.sampled_from(["rope_type", "type", "factor", "rope_theta"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=6,
)
OTHERS = ("quantization_config", "compression_config", "attn_implementation", "auto_map", "dtype")


@contextmanager
def copied(folder: Path):
    with tempfile.TemporaryDirectory() as place:
        copy = Path(place) / "model"
        shutil.copytree(folder, copy)
        yield copy, Path(place)


def told(folder: Path, root: Path) -> str:
    """Why a folder cannot be used; empty if it can. Every reason is a ModelError."""
    try:
        network = load(resolve(ref(folder), root), root)
    except ModelError as error:
        return str(error)
    with torch.no_grad():
        network.model(tiny_windows(1, 8))
    return ""


def test_what_the_fuzz_tests_spoil_was_healthy(made, tmp_path):
    # A defect of ours would be called the checkpoint's too, and every spoilt one be refused for it.
    assert told(made, tmp_path) == ""


@seed(14)
@settings(FUZZ, max_examples=150)
@given(st.dictionaries(st.sampled_from([*DECISIVE, *OTHERS]), JSON, min_size=1, max_size=3))
def test_no_config_ends_in_anything_but_a_sentence(made, changes: dict[str, Any]):
    with copied(made) as (folder, root):
        edit(folder / "config.json", **changes)
        assert len(told(folder, root)) < 1000


@seed(14)
@settings(FUZZ, max_examples=60)
@given(st.binary(max_size=80) | st.text(max_size=80).map(lambda text: text.encode()))
def test_no_bytes_in_place_of_a_config_end_in_anything_but_a_sentence(made, data: bytes):
    with copied(made) as (folder, root):
        (folder / "config.json").write_bytes(data)
        assert 0 < len(told(folder, root)) < 1000


@seed(14)
@settings(FUZZ, max_examples=100)
@given(st.data())
def test_no_header_ends_in_anything_but_a_sentence(made, data):
    with copied(made) as (folder, root):
        path = folder / "model.safetensors"
        content = path.read_bytes()
        length = int.from_bytes(content[:8], "little")
        header = json.loads(content[8 : 8 + length])
        name = data.draw(st.sampled_from(sorted(header)), "name")
        change = data.draw(st.sampled_from(["entry", "key", "gone", "more"]), "change")
        if change == "gone":
            del header[name]
        elif change == "more":
            header[data.draw(st.text(max_size=9))] = data.draw(JSON)
        elif change == "entry" or name == "__metadata__":
            header[name] = data.draw(JSON)
        else:
            key = data.draw(st.sampled_from(["dtype", "shape", "data_offsets"]), "key")
            values = JSON | st.sampled_from(["F16", "BF16", "I32", "F4"])
            header[name][key] = data.draw(values, "value")
        text = json.dumps(header).encode()
        path.write_bytes(struct.pack("<Q", len(text)) + text + content[8 + length :])
        assert len(told(folder, root)) < 1000


@seed(14)
@settings(FUZZ, max_examples=60)
@given(st.binary(max_size=64), st.integers(0, 3000))
def test_no_bytes_in_a_header_end_in_anything_but_a_sentence(made, junk: bytes, at: int):
    with copied(made) as (folder, root):
        path = folder / "model.safetensors"
        content = bytearray(path.read_bytes())
        content[at : at + len(junk)] = junk
        path.write_bytes(content)
        try:
            examine(folder)
        except ModelError:
            return
        assert len(told(folder, root)) < 1000
