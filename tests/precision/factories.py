"""Layers of made-up networks, sizes of real ones, and costs for them."""

import random

from qcore.precision.layers import LayerSize
from qcore.precision.table import SensitivityTable

DEMO = {"blocks": 30, "hidden": 576, "keys": 192, "ffn": 1536}
LARGE = {"blocks": 32, "hidden": 4096, "keys": 1024, "ffn": 14336}
PATHS = {"q": "self_attn", "k": "self_attn", "v": "self_attn", "o": "self_attn"}


def made_layers(blocks=2, hidden=64, keys=32, ffn=96):
    """All linears of a decoder, in execution order."""
    shapes = {
        "q_proj": (hidden, hidden),
        "k_proj": (hidden, keys),
        "v_proj": (hidden, keys),
        "o_proj": (hidden, hidden),
        "gate_proj": (hidden, ffn),
        "up_proj": (hidden, ffn),
        "down_proj": (ffn, hidden),
    }
    return tuple(
        LayerSize(f"{block}.{PATHS.get(name[0], 'mlp')}.{name}", block, name, *shape)
        for block in range(blocks)
        for name, shape in shapes.items()
    )


def made_table(layers, formats, seed=0, noise=0.0):
    """Costs that fall with the width, fourfold a bit, spread over three decades by layer."""
    draw = random.Random(seed)
    rows = []
    for _ in layers:
        scale = 10 ** draw.uniform(-5, -2)
        row = [scale * 4.0**-at + noise * draw.gauss(0, 1) for at in range(len(formats))]
        rows.append(tuple(row))
    return SensitivityTable(tuple(layers), tuple(formats), tuple(rows), tuple(rows), (), 255)
