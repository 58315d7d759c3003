"""Quantize to OCP Microscaling: blocks of 32 share a power-of-two scale."""
