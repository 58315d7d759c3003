"""C3: GPTQ against the textbook, side by side; GPFQ and Qronos against GPTQ.

Two textbooks: the column loop of the paper's derivation (every column rewrites all later ones) and
the lazy blocks of 128 that its authors publish, both with the upper Cholesky factor of H⁻¹. Ours:
the same codes from `qcore.rounding`, once in torch alone and once with the compiled block. Whole
calls are timed, factorisation and act-order included; the weight is square, the scales are given.
GPFQ and Qronos see drifted inputs, a cross moment beside H, and check what they are given.

    python -m benchmarks.gptq
"""

from __future__ import annotations

import torch
from torch import Tensor

from benchmarks._measure import interleave, save, table
from kernels.dispatch import Implementation
from qcore.formats.coding import dequantize
from qcore.formats.format import Format, named
from qcore.formats.quantized import Quantized, Scales
from qcore.rounding.feedback import column_order, feedback_factor, round_with_feedback
from qcore.rounding.gpfq import gpfq
from qcore.rounding.qronos import qronos
from qcore.scales.absmax import absmax

WIDTHS = (576, 1536)
FORMATS = ("int4", "mxfp4")
DAMPING = 0.01


def inverse_factor(hessian: Tensor, order: Tensor) -> Tensor:
    damped = hessian[order][:, order]
    damped.diagonal().add_(DAMPING * damped.diagonal().mean())
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(damped))
    return torch.linalg.cholesky(inverse, upper=True)


def textbook(weight: Tensor, hessian: Tensor, scales: Scales, fmt: Format, block: int) -> Tensor:
    """Dequantized weights by the paper's Algorithm 1; `block` = width is the plain column loop."""
    order = column_order(hessian)
    upper = inverse_factor(hessian, order)
    weight = weight[:, order]
    group = order // (weight.shape[1] // scales.scale.shape[1])
    scale = scales.scale[:, group]
    rounded = torch.zeros_like(weight)
    for start in range(0, weight.shape[1], block):
        stop = min(start + block, weight.shape[1])
        errors = torch.zeros(len(weight), stop - start)
        for i in range(start, stop):
            rounded[:, i] = scale[:, i] * eager_nearest(weight[:, i] / scale[:, i], fmt)
            error = (weight[:, i] - rounded[:, i]) / upper[i, i]
            weight[:, i:stop] -= error[:, None] * upper[i, i:stop]
            errors[:, i - start] = error
        weight[:, stop:] -= errors @ upper[start:stop, stop:]
    return torch.empty_like(rounded).index_copy_(1, order, rounded)


def eager_nearest(steps: Tensor, fmt: Format) -> Tensor:
    if fmt.is_float:  # E2M1: steps of a half below 2, of one below 4, of two from there on
        magnitude = steps.abs().clamp(max=6.0)
        step = torch.where(magnitude < 2, 0.5, torch.where(magnitude < 4, 1.0, 2.0))
        return (magnitude / step).round() * step * steps.sign()
    return steps.round().clamp(fmt.low, fmt.high)


def ours(
    weight: Tensor, hessian: Tensor, scales: Scales, fmt: Format, implementation: Implementation
) -> Tensor:
    order = column_order(hessian)
    upper = feedback_factor(hessian, order, damping=DAMPING).upper
    return round_with_feedback(
        weight, upper, scales, fmt, order=order, implementation=implementation
    )


def measure(width: int, name: str) -> dict[str, object]:
    torch.manual_seed(width)
    inputs = torch.randn(4 * width, width) @ (torch.randn(width, width) / width**0.5)
    inputs *= torch.exp(torch.randn(width))
    hessian = inputs.T @ inputs
    cross = hessian + 0.1 * inputs.T @ (torch.randn_like(inputs) * inputs.std(0))
    weight = torch.randn(width, width)
    fmt = named(name)
    scales = absmax(weight, fmt)
    given = (weight, hessian, scales, fmt)
    seconds = interleave(
        {
            "columns": lambda: textbook(*given, block=width),
            "lazy": lambda: textbook(*given, block=128),
            "torch": lambda: ours(*given, implementation="torch"),
            "compiled": lambda: ours(*given, implementation="compiled"),
            "gpfq": lambda: gpfq(weight, hessian, cross, scales, fmt),
            "qronos": lambda: qronos(weight, hessian, cross, scales, fmt),
        },
        repeats=5 if width < 1000 else 3,
    )
    return {
        "width": width,
        "format": name,
        **{f"{key}_ms": 1000 * value for key, value in seconds.items()},
        "torch_over_lazy": seconds["lazy"] / seconds["torch"],
        "compiled_over_lazy": seconds["lazy"] / seconds["compiled"],
        "torch_over_columns": seconds["columns"] / seconds["torch"],
        "compiled_over_columns": seconds["columns"] / seconds["compiled"],
        "gpfq_over_gptq": seconds["gpfq"] / seconds["compiled"],
        "qronos_over_gptq": seconds["qronos"] / seconds["compiled"],
        "different_codes": different_codes(*given),
    }


def different_codes(weight: Tensor, hessian: Tensor, scales: Scales, fmt: Format) -> float:
    """Share of weights that the compiled path and the lazy textbook round differently."""
    codes = ours(weight, hessian, scales, fmt, "compiled")
    found = dequantize(Quantized(codes, scales, fmt))
    expected = textbook(weight, hessian, scales, fmt, block=128)
    unequal = (found - expected).abs() > 1e-3 * expected.abs()
    return float(unequal.float().mean())


def main() -> None:
    rows = [measure(width, name) for width in WIDTHS for name in FORMATS]
    print(table(rows))
    print(save("gptq", rows).name)


if __name__ == "__main__":
    main()
