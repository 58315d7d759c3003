"""A block Hadamard rotation fused with the rounding behind it."""
