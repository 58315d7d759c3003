"""Hadamard transforms, whole or in blocks."""
