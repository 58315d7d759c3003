"""Rotations, permutations and expansion of one linear layer's input, as values that compose."""
