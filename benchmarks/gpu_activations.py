"""G1 to G3: the path of activations on a GPU, against device copy bandwidth in the same run.

G1: dynamic rounding, block Hadamard transforms, and both in one kernel; share of the bandwidth of a
copy. G2: full transforms, 2^m and K·2^m; the latter also against padding to a power of two. G3: the
one kernel over the pair of kernels that it replaces. Beside ours: the torch reference, compiled,
and the package fast-hadamard-transform where it is installed.

    python -m benchmarks.gpu_activations
"""

from __future__ import annotations

import importlib
import importlib.util
import math
from collections.abc import Callable

import torch
from torch import Tensor

from benchmarks._device import BYTES, fewest_seconds, require_gpu
from benchmarks._measure import save, table
from kernels.dispatch import Implementation
from kernels.elements.values import E2M1, E4M3
from kernels.hadamard.operation import block_hadamard_transform, hadamard_transform
from kernels.hadamard.plan import against_full
from kernels.hadamard.sylvester import sylvester
from kernels.rotate_quantize.operation import rotate_and_quantize
from kernels.rotate_quantize.values import Integer, Microscaling, Quantizer
from qcore.transforms.cores import core
from qcore.transforms.hadamard import order_for

QUANTIZERS: dict[str, Quantizer] = {
    "int4": Integer(4, symmetric=True),
    "int4_asym": Integer(4, symmetric=False),
    "mxfp4": Microscaling(E2M1),
    "mxfp8": Microscaling(E4M3, "midmax"),
}
FUSED = ("int4_asym", "mxfp4")
WIDTH = 8192
BLOCKS = (16, 32, 64, 128, 256)
ORDERS = ((4096, 4096), (8192, 8192), (14336, 14336), (8192, 10240), (5120, 5120))
OTHER = "fast_hadamard_transform"


def measure(
    name: str,
    x: Tensor,
    ours: Callable[[Implementation | None], Tensor],
    others: dict[str, Callable[[], Tensor]] | None = None,
    *,
    compiled: bool = True,
) -> dict[str, object]:
    """One row: ours by triton, by compiled torch, what else there is, and a copy."""
    y = torch.empty_like(ours("triton"))
    source = torch.empty_like(y)
    contenders = {"copy": lambda: y.copy_(source), "triton": lambda: ours("triton")}
    if compiled:
        reference = torch.compile(lambda: ours("torch"), dynamic=False)
        contenders["compiled"] = reference
    contenders |= others or {}
    seconds = fewest_seconds(contenders, x.device, repeats=20 if compiled else 1)
    moved = (x.numel() * x.element_size() + y.numel() * y.element_size()) / 1e9
    return {
        "operation": name,
        "tokens": len(x),
        "gigabytes": moved,
        **{f"{each}_ms": 1000 * taken for each, taken in seconds.items()},
        "share_of_copy": seconds["copy"] * (x.numel() + y.numel()) / 2 / y.numel()
        / seconds["triton"],
    }  # fmt: skip


def rows(
    device: torch.device,
    *,
    tokens: int | None = None,
    width: int = WIDTH,
    blocks: tuple[int, ...] = BLOCKS,
    orders: tuple[tuple[int, int], ...] = ORDERS,
    dtype: torch.dtype = torch.bfloat16,
    compiled: bool = True,
) -> list[dict[str, object]]:
    """All rows; `tokens` None is as many as fill `BYTES`."""

    def activations(width: int) -> Tensor:
        count = tokens or -(-BYTES // (width * dtype.itemsize))
        return torch.randn(count, width, device=device).to(dtype)

    found = []
    x = activations(width)
    for name, quantizer in QUANTIZERS.items():
        found.append(
            measure(
                f"G1 {name}", x, compiled=compiled,
                ours=lambda implementation, q=quantizer: q.apply(x, implementation=implementation),
            )
        )  # fmt: skip
    for block in blocks:
        matrix = sylvester(block).to(device, dtype)
        found.append(
            measure(
                f"G1 block {block}",
                x,
                lambda implementation, m=matrix: block_hadamard_transform(
                    x, m, implementation=implementation
                ),
                compiled=compiled,
            )
        )
        for name in FUSED:
            found.append(fused(x, matrix, name, compiled=compiled))
    for n, order in orders:
        found.append(full(activations(n), order, compiled=compiled))
    return found


def fused(x: Tensor, matrix: Tensor, name: str, *, compiled: bool) -> dict[str, object]:
    """G1 and G3: one kernel beside the pair it replaces."""
    quantizer = QUANTIZERS[name]

    def pair() -> Tensor:
        return quantizer.apply(
            block_hadamard_transform(x, matrix, implementation="triton"), implementation="triton"
        )

    row = measure(
        f"G1 G3 block {len(matrix)} + {name}",
        x,
        lambda implementation: rotate_and_quantize(
            x, matrix, quantizer, implementation=implementation
        ),
        {"pair": pair},
        compiled=compiled,
    )
    return {**row, "over_pair": float(row["pair_ms"]) / float(row["triton_ms"])}  # type: ignore[arg-type]


def full(x: Tensor, order: int, *, compiled: bool) -> dict[str, object]:
    """G2: one full transform."""
    found = order_for(order)
    assert found is not None
    matrix = core(found.core).to(x.device)
    others: dict[str, Callable[[], Tensor]] = {}
    padded = 1 << (order - 1).bit_length()
    one = core(1).to(x.device)
    if padded != order and not against_full(x, 1, padded):
        others["padded"] = lambda: hadamard_transform(x, one, padded, implementation="triton")
    if importlib.util.find_spec(OTHER) and padded == order and x.device.type == "cuda":
        other = importlib.import_module(OTHER).hadamard_transform
        others[OTHER] = lambda: other(x, scale=1 / math.sqrt(order))
    row = measure(
        f"G2 full {found.core}·2^{found.log2} of {x.shape[-1]}",
        x,
        lambda implementation: hadamard_transform(x, matrix, order, implementation=implementation),
        others,
        compiled=compiled,
    )
    if "padded" in others:
        row["over_padded"] = float(row["padded_ms"]) / float(row["triton_ms"])  # type: ignore[arg-type]
    return row


def aligned(found: list[dict[str, object]]) -> list[dict[str, object]]:
    """The rows with the same columns, empty where one does not apply."""
    heads = dict.fromkeys(head for row in found for head in row)
    return [{head: row.get(head, "") for head in heads} for row in found]


def main() -> None:
    found = rows(require_gpu())
    print(table(aligned(found)))
    print(save("gpu_activations", found).name)


if __name__ == "__main__":
    main()
