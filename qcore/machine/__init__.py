"""The machine that Quantscope runs on: its home folder, devices, memory, and what is installed."""
