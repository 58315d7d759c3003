"""Compile triton kernels for a GPU that is not there: what the interpreter does not check.

Run as a process of its own without TRITON_INTERPRET: the calls in `CALLS` go through the public
functions, and where they would launch a kernel it is compiled for the target instead, down to
machine code. Prints one JSON line for each kernel: its name, shared memory, registers spilled.
"""

from __future__ import annotations

import json
import sys

import torch
from triton.backends.compiler import GPUTarget
from triton.runtime import JITFunction, driver

from kernels import paths


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
    paths._against_triton = lambda device: None


def calls() -> None:
    from kernels.elements import E2M1, E4M3, MXINT8
    from kernels.integer import fake_quantize_integer
    from kernels.microscaling import fake_quantize_microscaling, quantize_microscaling

    for dtype in (torch.bfloat16, torch.float32):
        x = torch.zeros(4, 1024, dtype=dtype)
        for element in (E2M1, E4M3, MXINT8):
            fake_quantize_microscaling(x, element, path="triton")
            quantize_microscaling(x, element, rule="midmax", path="triton")
        for group in (None, 32):
            for symmetric in (True, False):
                fake_quantize_integer(x, 4, symmetric=symmetric, group=group, path="triton")
        fake_quantize_integer(torch.zeros(1, 20000, dtype=dtype), 4, symmetric=False, path="triton")


def main() -> None:
    driver.set_active(AbsentGPU(int(sys.argv[1])))
    compiled: list = []
    compile_instead_of_launching(compiled)
    calls()
    for kernel in compiled:
        print(json.dumps({"name": kernel.metadata.name, "shared": kernel.metadata.shared}))


if __name__ == "__main__":
    main()
