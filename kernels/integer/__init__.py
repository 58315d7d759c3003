"""Dynamic integer quantization."""
