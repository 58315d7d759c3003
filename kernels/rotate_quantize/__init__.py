"""Rotate by a block Hadamard matrix and quantize, in one pass over the activations."""
