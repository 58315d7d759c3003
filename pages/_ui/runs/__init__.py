"""Runs as tables, figures and selections, on every page."""
