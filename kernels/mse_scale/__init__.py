"""The search for the scale of least squared weight error."""
