"""Round a block of columns in order and propagate each error (GPTQ's inner loop)."""
