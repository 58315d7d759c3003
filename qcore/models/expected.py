"""Which tensors a network has, by its config.json alone, and what to do about any others.

The families' parts are data (`families`), so every name and shape follows from a handful of sizes:
what is missing, of another shape, or of no use is known before anything is loaded.

A tensor without a place in the network is left out, as every loader does, where that changes
nothing: heads of other tasks, decoder blocks beyond `num_hidden_layers`, frequencies that are
computed anew, biases that are all zero. A note names them. Anything else inside the network would
have changed it, and is refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from qcore.errors import BrokenCheckpoint
from qcore.models.families import FAMILIES
from qcore.models.family import Family
from qcore.models.files import printable
from qcore.models.headers import Stored
from qcore.models.prequantized import explain_missing, refuse_by_tensors

ONE = "use weights and config.json of one checkpoint"

_MOST = 1 << 31
_COMPUTED = ("rotary_emb.inv_freq", "rotary_emb.cos_cached", "rotary_emb.sin_cached")
_WHOLE = (
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "vocab_size",
)


def sizes_of(config: Mapping[str, Any]) -> dict[str, int] | None:
    """The sizes that config.json names; None where it leaves one out.

    Raises:
        BrokenCheckpoint: one of them is no whole number from 1, or the heads do not fit.
    """
    found: dict[str, int] = {}
    family = config.get("model_type")
    for key in (*_WHOLE, "num_key_value_heads", "head_dim", "max_position_embeddings"):
        value = config.get(key)
        if value is None:
            continue
        if type(value) is not int or not 1 <= value < _MOST:
            raise BrokenCheckpoint(
                f"config.json: {key} is {printable(repr(value), 40)}, not a whole number from 1 to "
                f"{_MOST - 1}",
                remedy="write it as a number, or download config.json again",
            )
        found[key] = value
    if any(key not in found for key in _WHOLE):
        return None
    heads = found["num_attention_heads"]
    found.setdefault("num_key_value_heads", heads)
    default = (FAMILIES[family].defaults or {}).get("head_dim") if family in FAMILIES else None
    if default is not None:
        found.setdefault("head_dim", default)
    if found.setdefault("head_dim", found["hidden_size"] // heads) < 1:
        raise BrokenCheckpoint(
            f"config.json: {heads} heads share {found['hidden_size']} features", remedy=ONE
        )
    if heads % found["num_key_value_heads"]:
        raise BrokenCheckpoint(
            f"config.json: {found['num_key_value_heads']} value heads do not divide {heads} heads",
            remedy=ONE,
        )
    return found


def expected_shapes(
    config: Mapping[str, Any], family: Family, sizes: Mapping[str, int]
) -> dict[str, tuple[int, ...]]:
    """Tensor name → shape, of the network that config.json describes; the head's name included."""
    hidden, words = sizes["hidden_size"], sizes["vocab_size"]
    attention = sizes["num_attention_heads"] * sizes["head_dim"]
    values = sizes["num_key_value_heads"] * sizes["head_dim"]
    inner = sizes["intermediate_size"]
    linears = {
        "self_attn.q_proj": (attention, hidden),
        "self_attn.k_proj": (values, hidden),
        "self_attn.v_proj": (values, hidden),
        "self_attn.o_proj": (hidden, attention),
        "mlp.gate_proj": (inner, hidden),
        "mlp.up_proj": (inner, hidden),
        "mlp.down_proj": (hidden, inner),
    }
    biased = family.biased(config)
    inside: dict[str, tuple[int, ...]] = {}
    for path, shape in linears.items():
        inside[f"{path}.weight"] = shape
        if path.rsplit(".", 1)[1] in biased:
            inside[f"{path}.bias"] = shape[:1]
    norms = [shape.producer for shape in family.sites if shape.producer is not None]
    inside |= {f"{path}.weight": (hidden,) for path in (*norms, *family.closing_norms)}
    for path, width in zip(family.head_norms, (attention, values), strict=False):
        wide = width if family.norm_of_all_heads else sizes["head_dim"]
        inside[f"{path}.weight"] = (wide,)
    found = {f"{family.embedding}.weight": (words, hidden)}
    for block in range(sizes["num_hidden_layers"]):
        found |= {f"{family.blocks}.{block}.{name}": shape for name, shape in inside.items()}
    return found | {
        f"{family.final_norm}.weight": (hidden,),
        f"{family.head}.weight": (words, hidden),
    }


def check_tensors(
    config: Mapping[str, Any], family: Family, stored: Mapping[str, Stored], files: Iterable[str]
) -> tuple[str, ...]:
    """Hold what there is against what the network needs; returns notes about what is left out.

    Args:
        config: parsed.
        family: of it.
        stored: every tensor of the checkpoint by its name.
        files: names of all files in the folder.

    Raises:
        BrokenCheckpoint: tensors are missing, of another shape, or would change the network.
        UnsupportedModel: weights that are quantized already.
    """
    files = sorted(files)
    known = {_with_prefix(name, family): item for name, item in stored.items()}
    sizes = sizes_of(config)
    if sizes is None or sizes["num_hidden_layers"] > len(known):
        refuse_by_tensors(stored, (), files)
        if sizes is None:
            return ()
        explain_missing(files)
        raise BrokenCheckpoint(
            f"config.json has {sizes['num_hidden_layers']} decoder blocks, and the weights are "
            f"{len(known)} tensors",
            remedy=ONE,
        )
    expected = expected_shapes(config, family, sizes)
    refuse_by_tensors(stored, (known[n].name for n in expected if n in known), files)
    _check_missing(config, family, expected, known, files)
    wrong = sorted(n for n, shape in expected.items() if n in known and known[n].shape != shape)
    if wrong:
        has, needs = known[wrong[0]].shape, expected[wrong[0]]
        raise BrokenCheckpoint(
            f"{len(wrong)} tensors are mismatched: {wrong[0]} is {_by(has)}, and config.json says "
            f"{_by(needs)}",
            remedy=ONE,
        )
    extra = [item for name, item in known.items() if name not in expected]
    return _notes(extra, family, sizes["num_hidden_layers"])


def _check_missing(
    config: Mapping[str, Any],
    family: Family,
    expected: Mapping[str, tuple[int, ...]],
    known: Mapping[str, Stored],
    files: list[str],
) -> None:
    head = f"{family.head}.weight"
    tied = family.tied(config)
    missing = [n for n in expected if n not in known and not (tied and n == head)]
    if not missing:
        return
    explain_missing(files)
    remedy = ONE
    if missing == [head]:
        remedy = 'set "tie_word_embeddings" to true in config.json if the embedding is the head'
    count = "1 tensor is" if len(missing) == 1 else f"{len(missing)} tensors are"
    first = f", {missing[0]} first" if len(missing) > 1 else f": {missing[0]}"
    raise BrokenCheckpoint(f"{count} missing{first}", remedy=remedy)


def _notes(extra: list[Stored], family: Family, blocks: int) -> tuple[str, ...]:
    """What is left out, in two sentences at most; refuses what would have changed the network."""
    beyond: list[str] = []
    unused: list[str] = []
    block = re.compile(rf"{re.escape(family.blocks)}\.(\d{{1,9}})\.")
    inside = (f"{family.backbone}.", f"{family.head}.")
    changing: list[str] = []
    for item in sorted(extra, key=lambda item: item.name):
        name = _with_prefix(item.name, family)
        place = block.match(name)
        if place is not None and int(place[1]) >= blocks:
            beyond.append(item.name)
        elif not name.startswith(inside) or name.endswith(_COMPUTED) or _adds_nothing(item):
            unused.append(item.name)
        else:
            changing.append(item.name)
    if changing:
        raise BrokenCheckpoint(
            f"{len(changing)} tensors have no place in the network that config.json describes, and "
            f"would change it: {_named(changing)}",
            remedy="use the config.json that these weights were saved with",
        )
    notes = []
    if beyond:
        notes.append(
            f"The weights have more decoder blocks than the {blocks} that config.json says: "
            f"{_named(beyond)} left out."
        )
    if unused:
        notes.append(f"Tensors without a place in the network are left out: {_named(unused)}.")
    return tuple(notes)


def _adds_nothing(item: Stored) -> bool:
    """Whether it is a bias of zeros; the only tensors whose values are looked at here."""
    return item.name.endswith(".bias") and item.is_zero()


def _with_prefix(name: str, family: Family) -> str:
    """A backbone saved by itself has its tensors without the backbone's own name in front."""
    prefix = f"{family.backbone}."
    bare = name.startswith(("layers.", "embed_tokens.", "norm."))
    return prefix + name if bare else name


def _named(names: list[str]) -> str:
    shown = ", ".join(printable(name, 80) for name in names[:3])
    return shown if len(names) <= 3 else f"{shown} and {len(names) - 3} more"


def _by(shape: tuple[int, ...]) -> str:
    return " × ".join(map(str, shape[:4])) or "a single number"
