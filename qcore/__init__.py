"""Quantscope's engine: recipes in, reports out; it knows nothing of how they are drawn."""
