"""Our folder `kernels` beside the Hugging Face package of that name.

Transformers looks for a distribution called `kernels` and, where one within its version range is
installed, runs `from kernels import …` while its models are imported. Started from a checkout,
Python finds our folder first, and that import fails. Without the distribution transformers sees
a `kernels` of no version, takes it for absent, and all is well.
"""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

from qcore.errors import ModelError


def refuse_foreign_kernels() -> None:
    """Do nothing, or say why models cannot be loaded in this environment.

    Raises:
        ModelError: the distribution `kernels` is installed in a version that transformers uses.
    """
    try:
        installed = version("kernels")
    except PackageNotFoundError:
        return
    from packaging.version import Version
    from transformers.utils.import_utils import KERNELS_MAX_VERSION, KERNELS_MIN_VERSION

    if Version(KERNELS_MIN_VERSION) <= Version(installed) < Version(KERNELS_MAX_VERSION):
        raise ModelError(
            f"the package kernels {installed} is installed, and transformers would take the "
            "folder kernels of Quantscope for it",
            remedy="run `pip uninstall kernels` in this environment, or make one of its own "
            "for Quantscope with `make run`",
        )
