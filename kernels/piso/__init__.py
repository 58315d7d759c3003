"""PiSO: the exact search for the scale of least output error."""
