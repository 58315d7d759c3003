"""The public face: run recipes and read reports from a notebook; the command line stands on it."""
