"""GGUF files: codes to the bit through gguf's own code, and llama.cpp runs the same network."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from gguf import GGUFReader
from gguf import dequantize as read_blocks
from safetensors.torch import load_file

from qcore.errors import ExportError
from qcore.export.gguf.blocks import as_read, bytes_of, pack, type_of
from qcore.export.gguf.choice import BITS, container_of
from qcore.export.gguf.tokenizer import cutting_of
from qcore.export.gguf.writer import FILE
from qcore.export.proof import digest_tensor
from qcore.export.verify import _reader, verify
from qcore.export.writing import export_run
from qcore.formats.coding import dequantize
from qcore.formats.format import FORMATS, Format, named
from qcore.formats.quantized import Quantized, Scales
from tests.models.factories import VARIANTS, tiny_model, tiny_tokenizer
from tests.pipeline.factories import Workshop, write_text

needs_reader = pytest.mark.skipif(
    bool(
        subprocess.run(
            [_reader(), "-I", "-c", "import gguf, xllamacpp"], capture_output=True, check=False
        ).returncode
    ),
    reason="make verify installs the readers",
)

HELD = [
    *(f"int{bits}" for bits in range(2, 9)),
    *(f"int{bits}_asym" for bits in range(2, 8)),
    "mxfp4",
    "mxfp6_e2m3",
    "mxint8",
]
SIZES = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_attention_heads": 4,
    "initializer_range": 0.1,
}


def every_code(fmt: Format, out: int = 6, width: int = 256) -> Quantized:
    """A matrix in which every code occurs, with scales that float16 holds."""
    generator = torch.Generator().manual_seed(3)
    low, high = (fmt.low, fmt.high) if fmt.kind == "int" else (0, (1 << fmt.bits) - 1)
    if fmt.name == "mxint8":
        low, high = -128, 127
    span = torch.arange(low, high + 1)
    codes = span.repeat(-(-out * width // len(span)))[: out * width].reshape(out, width)
    groups = fmt.groups(width)
    if fmt.kind == "mx":
        exponents = torch.randint(-9, 3, (out, groups), generator=generator)
        scale = 2.0 ** exponents.float()
    else:
        scale = torch.rand(out, groups, generator=generator).half().float() + 2**-9
        scale = scale.half().float()
    zero = None
    if not fmt.symmetric:
        zero = torch.randint(0, fmt.high + 1, (out, groups), generator=generator).float()
    kind = torch.int8 if low < 0 else torch.uint8
    return Quantized(codes.to(kind), Scales(scale, zero), fmt)


@pytest.mark.parametrize("group", [None, 32, 128])
@pytest.mark.parametrize("name", HELD)
def test_ggufs_own_code_reads_every_code_of_every_format_to_the_bit(name, group):
    fmt = FORMATS[name] if FORMATS[name].kind == "mx" else named(name, group)
    quantized = every_code(fmt)
    kind = type_of(fmt, 256)
    packed = pack("x", quantized)
    assert packed.nbytes == bytes_of(kind, (6, 256)) == 6 * 256 * BITS[container_of(fmt)] / 8
    read = torch.from_numpy(read_blocks(packed, kind))
    assert torch.equal(read, dequantize(quantized))
    assert digest_tensor(read) == digest_tensor(as_read(quantized))


@pytest.mark.parametrize("name", ["mxfp8_e4m3", "mxfp6_e3m2", "int8_asym"])
def test_formats_that_no_type_holds_are_refused_by_name(name):
    with pytest.raises(ExportError, match=name):
        container_of(FORMATS[name])


def test_groups_below_a_block_and_scales_beyond_16_bits_are_refused():
    with pytest.raises(ExportError, match="multiple of GGUF's blocks of 32"):
        container_of(named("int4", 16))
    quantized = every_code(named("int4", 32))
    quantized.scales.scale[0, 0] = 1 + 2**-14
    with pytest.raises(ExportError, match="float16"):
        pack("x", quantized)


def step(kind, **more):
    return {"type": kind, **more}


BYTES = step("ByteLevel", add_prefix_space=False, use_regex=True)


@pytest.mark.parametrize(
    ("steps", "name"),
    [
        (BYTES, "gpt-2"),
        (
            step("Sequence", pretokenizers=[step("Digits", individual_digits=True), BYTES]),
            "smollm",
        ),
    ],
)
def test_known_rules_of_cutting_have_llama_cpps_names(steps, name):
    assert cutting_of({"model": {"type": "BPE"}, "pre_tokenizer": steps}) == name


@pytest.mark.parametrize(
    "data",
    [
        {"model": {"type": "BPE", "byte_fallback": True}, "pre_tokenizer": BYTES},
        {"model": {"type": "Unigram"}, "pre_tokenizer": BYTES},
        {"model": {"type": "BPE"}, "pre_tokenizer": step("Whitespace")},
        {"model": {"type": "BPE"}, "pre_tokenizer": None},
        {"model": {"type": "BPE"}, "pre_tokenizer": BYTES, "normalizer": {"type": "Lowercase"}},
    ],
)
def test_tokenizers_that_llama_cpp_would_cut_otherwise_are_refused(data):
    with pytest.raises(ExportError, match="compressed-tensors"):
        cutting_of(data)


def shop_of(root: Path, family: str, **more) -> Workshop:
    tiny_model(family, **(SIZES | more)).save_pretrained(root / "model")
    tiny_tokenizer().save_pretrained(root / "model")
    return Workshop(root / "home", root / "model", write_text(root / "text.txt"))


@pytest.fixture(scope="module")
def shop(tmp_path_factory) -> Workshop:
    return shop_of(tmp_path_factory.mktemp("gguf"), "llama", tie_word_embeddings=True)


def exported(shop: Workshop, target: Path, **parts) -> Path:
    report = shop.run(shop.recipe(**parts))
    export_run(report, target, cache=shop.cache, to="gguf", root=shop.root)
    return target


@pytest.fixture
def unread(monkeypatch):
    """What is written is not read back: for tests that look into the file themselves."""
    monkeypatch.setattr("qcore.export.writing.verify", lambda folder: [])


@pytest.mark.usefixtures("unread")
def test_the_file_holds_network_tokenizer_and_provenance(shop, tmp_path):
    folder = exported(shop, tmp_path / "out", weights={"format": "int4", "group": 32})
    fields = {name: field.contents() for name, field in GGUFReader(folder / FILE).fields.items()}
    assert fields["llama.attention.head_count_kv"] == 2
    assert fields["tokenizer.ggml.pre"] == "gpt-2"
    assert len(fields["tokenizer.ggml.tokens"]) == fields["llama.vocab_size"] == 300
    assert len(fields["quantscope.recipe_digest"]) == 64
    names = {tensor.name: tensor for tensor in GGUFReader(folder / FILE).tensors}
    assert "output.weight" not in names
    assert names["blk.0.attn_q.weight"].tensor_type.name == "Q4_0"
    assert names["token_embd.weight"].tensor_type.name == "F16"


@pytest.mark.usefixtures("unread")
def test_llamas_rows_stand_in_the_order_of_interleaved_rope(shop, tmp_path):
    folder = exported(shop, tmp_path / "out", weights={"format": "int8"})
    (tensor,) = (
        each for each in GGUFReader(folder / FILE).tensors if each.name == "blk.0.attn_q.weight"
    )
    read = torch.from_numpy(read_blocks(tensor.data, tensor.tensor_type))
    plain = load_file(shop.model / "model.safetensors")["model.layers.0.self_attn.q_proj.weight"]
    nearest = torch.cdist(read, plain).argmin(1)
    assert nearest[:4].tolist() == [0, 8, 1, 9]


RUNS = {
    "int4 g32": {"weights": {"format": "int4", "group": 32}},
    "int3": {"weights": {"format": "int3"}},
    "int4 asym": {"weights": {"format": "int4_asym", "group": 32}},
    "int8": {"weights": {"format": "int8", "group": 32}},
    "mxfp4": {"weights": {"format": "mxfp4"}},
    "rotated": {"weights": {"format": "int4"}, "rotation": {"r4": False}},
}


@needs_reader
@pytest.mark.parametrize("parts", RUNS.values(), ids=list(RUNS))
def test_codes_are_equal_to_the_bit_and_llama_cpp_runs_the_same_network(shop, tmp_path, parts):
    exact, smoke = verify(exported(shop, tmp_path / "out", **parts))
    assert (exact.target, exact.word) == ("transformers", "exact")
    assert (smoke.target, smoke.word) == ("llama.cpp", "smoke-tested")
    assert "208 positions" in smoke.why


@needs_reader
@pytest.mark.parametrize("variant", ["llama, biased", "llama, long context", "qwen2", "qwen3"])
def test_every_family_is_read_as_it_was_written(tmp_path, variant):
    family, more = VARIANTS[variant]
    shop = shop_of(tmp_path, family, **more)
    folder = exported(shop, tmp_path / "out", weights={"format": "int5"})
    assert [verdict.word for verdict in verify(folder)] == ["exact", "smoke-tested"]


def test_what_llama_cpp_computes_otherwise_is_refused_before_anything_is_written(tmp_path):
    family, more = VARIANTS["qwen2, sliding"]
    shop = shop_of(tmp_path, family, **more)
    with pytest.raises(ExportError, match="sliding window"):
        exported(shop, tmp_path / "out", weights={"format": "int5"})
    assert not (tmp_path / "out").exists()


def _a_flipped_code(tensors):
    tensors["blk.1.ffn_up.weight"].data[3, 5] ^= 1


def _another_scale(tensors):
    tensors["blk.0.ffn_down.weight"].data[0, :2].view(np.float16)[:] *= 2


def _rows_in_the_networks_order(tensors):
    data = tensors["blk.0.attn_q.weight"].data
    data[:] = data.reshape(4, -1, 2, data.shape[1]).swapaxes(1, 2).reshape(data.shape)


def _swapped_layers(tensors):
    up, gate = (tensors[f"blk.0.ffn_{name}.weight"].data for name in ("up", "gate"))
    up[:], gate[:] = gate.copy(), up.copy()


def _another_norm(tensors):
    tensors["blk.2.attn_norm.weight"].data[0] += 1


FAULTS = [
    _a_flipped_code,
    _another_scale,
    _rows_in_the_networks_order,
    _swapped_layers,
    _another_norm,
]


@pytest.fixture(scope="module")
def sound(shop, tmp_path_factory) -> Path:
    """An export that nobody has read yet."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("qcore.export.writing.verify", lambda folder: [])
        target = tmp_path_factory.mktemp("sound") / "out"
        return exported(shop, target, weights={"format": "int4", "group": 32})


@needs_reader
@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_in_the_file_does_not_pass_the_gate(sound, tmp_path, fault):
    folder = tmp_path / "out"
    shutil.copytree(sound, folder)
    reader = GGUFReader(folder / FILE, "r+")
    fault({tensor.name: tensor for tensor in reader.tensors})
    reader.data.flush()
    with pytest.raises(ExportError, match=r"[12] tensors are different"):
        verify(folder)
