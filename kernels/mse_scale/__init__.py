"""Search the scale of least squared weight error, row by row."""
