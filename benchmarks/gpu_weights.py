"""G4 to G6: calibration and rounding of weights on a GPU.

G4: GPTQ of a square matrix against the paper's column loop, run eagerly. G5: second moments of
bfloat16 inputs against the float32 product, and against the library's bfloat16 product (which
rounds its result). G6: seconds of an exact PiSO search, one scale for each output channel.

    python -m benchmarks.gpu_weights
"""

from __future__ import annotations

import torch

from benchmarks._device import fewest_seconds, require_gpu
from benchmarks._measure import save, table
from benchmarks.gptq import ours, textbook
from kernels.piso.operation import search
from kernels.second_moment.operation import add_second_moment
from qcore.formats.coding import grid
from qcore.formats.format import named
from qcore.scales.absmax import absmax

WIDTH = 4096
TOKENS = 1 << 16


def inputs(tokens: int, width: int, device: torch.device) -> torch.Tensor:
    """Correlated tokens whose channels differ in size."""
    torch.manual_seed(width)
    x = torch.randn(tokens, width, device=device)
    x = x @ (torch.randn(width, width, device=device) / width**0.5)
    return x * torch.exp(torch.randn(width, device=device))


def rows(
    device: torch.device, *, width: int = WIDTH, tokens: int = TOKENS, repeats: int = 5
) -> list[dict[str, object]]:
    """All rows."""
    x = inputs(2 * width, width, device)
    hessian = x.T @ x
    weight, fmt = torch.randn(width, width, device=device), named("int4")
    scales = absmax(weight, fmt)
    half = inputs(tokens, width, device).bfloat16()
    single, total = half.float(), torch.zeros(width, width, device=device)
    points, target = grid(fmt).to(device), weight @ hessian
    with torch.device(device):
        gptq = fewest_seconds(
            {
                "triton": lambda: ours(weight, hessian, scales, fmt, "triton"),
                "eager": lambda: textbook(weight, hessian, scales, fmt, block=width),
            },
            device,
            repeats=max(1, repeats // 2),
        )
    moment = fewest_seconds(
        {
            "triton": lambda: add_second_moment(total, half, implementation="triton"),
            "eager": lambda: single.T @ single,
            "library_bfloat16": lambda: half.T @ half,
        },
        device,
        repeats=repeats,
    )
    piso = fewest_seconds(
        {
            "triton": lambda: search(weight, points, hessian, target, implementation="triton"),
            "eager": lambda: search(weight, points, hessian, target, implementation="blocked"),
        },
        device,
        repeats=max(1, repeats // 2),
    )
    return [
        _row(f"G4 GPTQ {width}²", gptq),
        _row(f"G5 moment of {tokens} tokens, {width}", moment),
        _row(f"G6 PiSO {width}²", piso),
    ]


def _row(name: str, seconds: dict[str, float]) -> dict[str, object]:
    library = seconds.get("library_bfloat16")
    return {
        "operation": name,
        "triton_ms": 1000 * seconds["triton"],
        "eager_ms": 1000 * seconds["eager"],
        "library_bfloat16_ms": "" if library is None else 1000 * library,
        "over_eager": seconds["eager"] / seconds["triton"] if seconds["triton"] else "",
    }


def main() -> None:
    found = rows(require_gpu())
    print(table(found))
    print(save("gpu_weights", found).name)


if __name__ == "__main__":
    main()
