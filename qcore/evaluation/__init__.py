"""What a finished network is worth: perplexity, divergence from the float one, task accuracy."""
