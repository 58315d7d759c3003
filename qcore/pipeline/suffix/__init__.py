"""The run of a network that predicts suffixes: its stages, from the log to the Report."""
