"""Captures, which Outliers and Scales look at."""
