"""`families`: which architectures can be quantized, and what each has a place for."""

from __future__ import annotations

import argparse

from qcore.cli.output import put
from qcore.cli.tables import aligned
from qcore.models.families import FAMILIES
from qcore.models.family import Family

_HEADERS = ("family", "model_type", "R1", "of its own")


def add_families(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `families`."""
    parser.add_argument("--markdown", action="store_true", help="print a Markdown table")
    parser.set_defaults(command=show_families)


def show_families(options: argparse.Namespace) -> int:
    """Print a line for every family."""
    rows = [_row(family) for family in FAMILIES.values()]
    put(_markdown(rows) if options.markdown else aligned(_HEADERS, rows))
    return 0


def _row(family: Family) -> tuple[str, ...]:
    rotates = "yes" if family.rotates_residual else "no"
    return family.name, family.model_type, rotates, "; ".join(_features(family)) or "–"


def _features(family: Family) -> list[str]:
    """What distinguishes a family from Llama, in words."""
    width = "all heads" if family.norm_of_all_heads else "a head"
    closing = "norms behind o_proj and down_proj"
    if not any(site.producer for site in family.sites):
        closing += ", none before"
    told = {
        f"biases at {', '.join(name[0] for name in family.biases)}": family.biases,
        f"query and key norms over {width}": family.head_norms,
        closing: family.closing_norms,
        "norms multiply by 1 + w": family.unit_gain,
        "layers without positions": "no_rope_layers" in family.config_keys,
        "scaled embeddings, branches and attention": "residual_multiplier" in family.config_keys,
        "divided logits": "logits_scaling" in family.config_keys,
        "capped logits": "final_logit_softcapping" in family.config_keys,
        "capped attention, so the plain kind": not family.fused_attention,
    }
    return [text for text, has in told.items() if has]


def _markdown(rows: list[tuple[str, ...]]) -> str:
    lines = [_HEADERS, ("---",) * len(_HEADERS)]
    lines += [(name, f"`{kind}`", *rest) for name, kind, *rest in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
