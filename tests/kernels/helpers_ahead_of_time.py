"""Compile the triton kernels for a GPU that is not there: what the interpreter does not check.

    python -m tests.kernels.helpers_ahead_of_time 90    # a compute capability, without its point

Runs without TRITON_INTERPRET. Calls go through the public functions, and where they would launch a
kernel it is compiled for the target instead, down to machine code. Prints one JSON line for each.
"""

from __future__ import annotations

import json
import sys

import torch
from triton.backends.compiler import GPUTarget
from triton.runtime import JITFunction, driver

from kernels import dispatch
from kernels.elements.values import E2M1, E4M3, MXINT8, FixedPoint
from kernels.gptq.operation import round_block
from kernels.hadamard.operation import block_hadamard_transform, hadamard_transform
from kernels.hadamard.sylvester import sylvester
from kernels.integer.operation import fake_quantize_integer
from kernels.microscaling.operation import fake_quantize_microscaling, quantize_microscaling
from kernels.piso.operation import search
from kernels.rotate_quantize.operation import rotate_and_quantize
from kernels.rotate_quantize.values import Integer, Microscaling
from kernels.second_moment.operation import add_second_moment

HALF, SINGLE = torch.bfloat16, torch.float32


class AbsentGPU:
    """As much of a driver as compiling asks for."""

    def __init__(self, capability: int):
        self.target = GPUTarget("cuda", capability, 32)

    def get_current_target(self) -> GPUTarget:
        return self.target

    def get_current_device(self) -> int:
        return 0

    def get_current_stream(self, device: int) -> int:
        return 0


def compile_instead_of_launching(compiled: list) -> None:
    def launcher(kernel: JITFunction, grid):
        def compile_only(*args, **options):
            compiled.append(kernel.run(*args, grid=grid, warmup=True, **options))

        return compile_only

    JITFunction.__getitem__ = launcher
    dispatch._against_triton = lambda device: None


def call_everything() -> None:
    for dtype in (HALF, SINGLE):
        x = torch.zeros(4, 1024, dtype=dtype)
        fake_quantize_microscaling(x, E2M1, implementation="triton")
        quantize_microscaling(x, E4M3, rule="midmax", implementation="triton")
        for symmetric in (True, False):
            fake_quantize_integer(x, 4, symmetric=symmetric, implementation="triton")
        block_hadamard_transform(x[:, :1000], sylvester(32), 1024, implementation="triton")
        hadamard_transform(torch.zeros(2, 4096, dtype=dtype), sylvester(1), implementation="triton")
        for quantizer in (Integer(4, symmetric=False), Microscaling(MXINT8)):
            rotate_and_quantize(x, sylvester(64), quantizer, implementation="triton")
    wide = torch.zeros(2, 14336, dtype=HALF)
    fake_quantize_integer(
        torch.zeros(2, 20000, dtype=HALF), 4, symmetric=False, implementation="triton"
    )
    block_hadamard_transform(wide, sylvester(256), implementation="triton")
    hadamard_transform(wide, torch.ones(28, 28), implementation="triton")
    rotate_and_quantize(wide, sylvester(128), Integer(4, symmetric=True), implementation="triton")
    add_second_moment(
        torch.zeros(4096, 4096), torch.zeros(64, 4096, dtype=HALF), implementation="triton"
    )
    groups = torch.zeros(128, dtype=torch.int64)
    for element in (E2M1, FixedPoint(-8, 7)):
        zeros = torch.zeros(128, 256)
        given = (zeros, zeros, torch.zeros(128, 128), torch.ones(1, 256), None, groups)
        round_block(*given, element, implementation="triton")
    weights, hessian = torch.ones(2, 64), torch.eye(64)
    search(weights, torch.arange(-8.0, 8.0), hessian, weights, implementation="triton")


def main() -> None:
    driver.set_active(AbsentGPU(int(sys.argv[1])))
    compiled: list = []
    compile_instead_of_launching(compiled)
    call_everything()
    for kernel in compiled:
        code = kernel.asm["ptx"]
        found = {
            "name": kernel.metadata.name,
            "shared": kernel.metadata.shared,
            "divisions": sorted({word for word in code.split() if word.startswith("div.")}),
            "fused": "fma." in code,
            "tensor_cores": "mma" in code,
        }
        print(json.dumps(found))


if __name__ == "__main__":
    main()
