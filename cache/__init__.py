"""Content-addressed storage: records of JSON, arrays in safetensors, both keyed by a digest."""
