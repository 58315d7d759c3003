"""From a finished run to files that servers load, and a gate that proves it.

    recipe ─ quantized_network ─ codes, scales, float rest ─ writer ─ folder ─ gate ─ verdicts

Codes are written as they are: nothing is quantized again. A writer is a folder or file format
(`compressed_tensors`, `gguf`); the gate (`gate`, in a process of its own) reads what was written,
and nothing else, with the reader's own code, and compares every tensor to the bit.
"""
