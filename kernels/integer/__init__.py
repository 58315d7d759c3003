"""Quantize activations to dynamic integers: one scale per token or per group of features."""
