from __future__ import annotations

import numpy as np
import pytest


@pytest.fixture(autouse=True)
def quiet_floats():
    """Triton's interpreter computes in numpy, which warns where a GPU overflows without a word."""
    with np.errstate(all="ignore"):
        yield
