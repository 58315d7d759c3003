"""One script per row of the speed table; run one with `python -m benchmarks.NAME`."""
