"""Minifloats of continuous width, for dMX."""
