"""Operations that runs spend their time in: a torch reference that is the truth, and fast twins.

Tensors and plain numbers in, tensors out; nothing here knows a Format, a model or a recipe.

A new operation is a folder of its own, named for what it computes:

- `operation.py`: the public name, the checks, and the torch reference. It asks `dispatch.choose`
  which implementation runs, and imports a twin only when that one is chosen.
- `values.py`: what the reference and its twins share: constants and frozen dataclasses. A twin
  imports `values`, never an `operation`.
- `compiled.py`: the CPU twin (numba); `rows.py` has what twins that work on rows share.
- `triton.py`: the GPU twin; `launch.py` starts it, `tiles.py` cuts its work, and
  `elements/triton.py` rounds in it.
- a test in `tests/kernels/OPERATION/`: the reference against mathematics, each twin against the
  reference; `tests/kernels/helpers_ahead_of_time.py` compiles the triton twin for real GPUs.
- a benchmark in `benchmarks/`, and a row in `docs/kernels.md` with what it measured.

Beside the folders stand `dispatch` (which implementation runs), `checks` (of arguments) and
`straight_through` (gradients of rounding).

transformers looks for a package called `kernels`; ours carries no version, so it is passed over.
"""
