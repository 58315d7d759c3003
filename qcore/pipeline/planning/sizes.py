"""What the load stage keeps of a network: its sizes. Known without loading it ever after.

And before: the demo's are constants, those of a checkpoint on this machine follow from its
config.json, since what the supported families differ in is data. So what does not
fit a network is refused, and what a run costs is told, before anything is loaded.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cache.store import Cache, Outcomes
from qcore.models.families import family_of_config
from qcore.models.family import Family
from qcore.models.folder import read_config
from qcore.models.regions import Dimensions
from qcore.models.source import ModelSource
from qcore.serialization import from_plain


@dataclass(frozen=True, slots=True)
class Sizes:
    """Sizes of an untouched network.

    Attributes:
        size: its widths.
        parameters: all, tied ones once.
        linear_parameters: those in the linears of its decoder blocks.
        tied_parameters: those that the embedding and the head share.
    """

    size: Dimensions
    parameters: int
    linear_parameters: int
    tied_parameters: int

    @property
    def blocks(self) -> int:
        """Decoder blocks."""
        return self.size.blocks


DEMO = Sizes(
    Dimensions(hidden=576, intermediate=1536, heads=9, kv_heads=3, head_dim=64, blocks=30),
    parameters=134_515_008,
    linear_parameters=106_168_320,
    tied_parameters=28_311_552,
)
"""Of SmolLM2-135M."""


def kept_sizes(load_key: str, cache: Outcomes) -> Sizes | None:
    """The sizes that the load stage of that key left in the cache; None before it ran."""
    kept = cache.record(load_key)
    return None if kept is None else from_plain(Sizes, kept, "sizes")


def sizes_of(source: ModelSource, load_key: str, cache: Cache) -> Sizes | None:
    """What is known of a network that may never have been loaded.

    Args:
        source: its files.
        load_key: of its load stage.
        cache: has the sizes of networks that were loaded.

    Returns:
        None where config.json leaves a size out.
    """
    kept = kept_sizes(load_key, cache)
    if kept is not None:
        return kept
    if source.kind == "demo":
        return DEMO
    try:
        return sizes_of_config(read_config(source.folder))
    except (KeyError, TypeError, ValueError, ZeroDivisionError):
        return None


def sizes_of_config(config: Mapping[str, Any]) -> Sizes:
    """A network's sizes from its parsed config.json.

    Raises:
        KeyError, TypeError, ValueError, ZeroDivisionError: a size is missing, or is none.
        UnsupportedModel: an unknown architecture.
    """
    family = family_of_config(config)
    hidden, heads = int(config["hidden_size"]), int(config["num_attention_heads"])
    size = Dimensions(
        hidden=hidden,
        intermediate=int(config["intermediate_size"]),
        heads=heads,
        kv_heads=int(config.get("num_key_value_heads") or heads),
        head_dim=int(family.setting(config, "head_dim") or hidden // heads),
        blocks=int(config["num_hidden_layers"]),
    )
    values = size.kv_heads * size.head_dim
    linears = 2 * hidden * (size.attention + values) + 3 * hidden * size.intermediate
    biases = _biases(config, family, size)
    norms = _norms(family, size)
    embedding = int(config["vocab_size"]) * hidden
    tied = family.tied(config)
    return Sizes(
        size=size,
        parameters=size.blocks * (linears + biases + norms) + hidden + embedding * (2 - tied),
        linear_parameters=size.blocks * linears,
        tied_parameters=embedding if tied else 0,
    )


def _biases(config: Mapping[str, Any], family: Family, size: Dimensions) -> int:
    """Biases of one decoder block."""
    values = size.kv_heads * size.head_dim
    widths = {"q_proj": size.attention, "k_proj": values, "v_proj": values, "o_proj": size.hidden}
    widths |= {"gate_proj": size.intermediate, "up_proj": size.intermediate}
    widths |= {"down_proj": size.hidden}
    return sum(widths[name] for name in family.biased(config))


def _norms(family: Family, size: Dimensions) -> int:
    """Weights of all norms of one decoder block."""
    before = sum(site.producer is not None for site in family.sites)
    heads = (size.attention, size.kv_heads * size.head_dim)
    if not family.norm_of_all_heads:
        heads = (size.head_dim, size.head_dim)
    own = sum(heads) if family.head_norms else 0
    return (before + len(family.closing_norms)) * size.hidden + own
