"""GPTQ's update inside a block of columns."""
