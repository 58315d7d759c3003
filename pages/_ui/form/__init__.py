"""The form of New run: widgets to knobs, knobs to sweep."""
