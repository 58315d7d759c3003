"""Search the scale of least error on the layer's output, exactly and piece by piece (PiSO)."""
