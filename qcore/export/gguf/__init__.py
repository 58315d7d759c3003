"""GGUF: one file that llama.cpp loads, with weights, configuration and tokenizer in it."""
