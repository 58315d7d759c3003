"""Transform the last axis by a Hadamard matrix, whole or in blocks."""
