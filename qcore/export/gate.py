"""The gate for compressed-tensors folders: what does the reader's own code make of the files?

Run by itself, in a process and an environment where `compressed-tensors` is installed:

    python gate.py FOLDER

It imports nothing of Quantscope, reads the folder alone, and writes one line of JSON:

- `tensors`: how many were dequantized by compressed-tensors' own code, and the names of those
  whose SHA-256 is not the one in `quantscope.json`; `missing` and `unexpected` names.
- `routes`: for each way in which transformers loads the folder, whether it does, and the largest
  difference of its log-probabilities from the ones kept beside the weights.
- `versions`: of what has read it.

So a scale in another type, a transform that was left out, packed zero points, a mixed folder read
with its first group's scheme, or a layer left float all show: as another hash or as other logits.
"""

from __future__ import annotations

import hashlib
import json
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any


def judge(folder: Path) -> dict[str, Any]:
    """Everything the readers say about a folder; see the module's text."""
    proof = json.loads((folder / "quantscope.json").read_text(encoding="utf-8"))
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    read, size = _dequantized(folder, config)
    expected = proof["tensors"]
    return {
        "tensors": {
            "read": len(read),
            "different": sorted(n for n in read if n in expected and read[n] != expected[n]),
            "missing": sorted(set(expected) - set(read)),
            "unexpected": sorted(set(read) - set(expected)),
            "bytes": size,
        },
        "routes": {
            "default": _route(folder, None),
            "dequantized": _route(folder, "dequantize"),
        },
        "versions": {
            name: version(name) for name in ("compressed-tensors", "transformers", "torch")
        },
    }


def _dequantized(folder: Path, config: dict[str, Any]) -> tuple[dict[str, str], int]:
    """SHA-256 of every tensor as compressed-tensors makes it, by name; bytes of all stored."""
    import torch
    from compressed_tensors.compressors import BaseCompressor  # pyright: ignore[reportMissingImports]
    from compressed_tensors.quantization import QuantizationConfig  # pyright: ignore[reportMissingImports]
    from safetensors import safe_open

    dtype = getattr(torch, config["dtype"])
    settings = QuantizationConfig.model_validate(
        {k: v for k, v in config["quantization_config"].items() if k != "quant_method"}
    )
    stored: dict[str, dict[str, Any]] = {}
    for path in sorted(folder.glob("model*.safetensors")):
        with safe_open(path, "pt") as file:
            for name in file.keys():  # noqa: SIM118 -- no mapping
                module, _, leaf = name.rpartition(".")
                stored.setdefault(module, {})[leaf] = file.get_tensor(name)
    size = sum(t.nbytes for tensors in stored.values() for t in tensors.values())
    found = {}
    for module, tensors in stored.items():
        if "weight_scale" in tensors:
            scheme = _scheme_for(module, settings)
            layout = scheme.format or settings.format
            compressor = BaseCompressor.get_value_from_registry(layout)
            bias = tensors.pop("bias", None)
            weight = compressor.decompress(tensors, scheme)["weight"].to(dtype)
            tensors = {"weight": weight} if bias is None else {"weight": weight, "bias": bias}
        for leaf, tensor in tensors.items():
            plain = tensor.contiguous().reshape(-1).view(torch.uint8).numpy()
            found[f"{module}.{leaf}"] = hashlib.sha256(plain.data).hexdigest()
    return found, size


def _scheme_for(module: str, settings: Any) -> Any:
    """The config group that names the module, or else every linear."""
    groups = list(settings.config_groups.values())
    named = [group for group in groups if module in group.targets]
    every = [group for group in groups if "Linear" in group.targets]
    return (named or every)[0]


def _route(folder: Path, how: str | None) -> dict[str, Any]:
    """Whether transformers loads the folder, and how far its log-probabilities are off."""
    import torch
    from safetensors.torch import load_file
    from transformers import AutoModelForCausalLM, CompressedTensorsConfig

    kept = load_file(folder / "quantscope_logits.safetensors")
    given: dict[str, Any] = {}
    if how == "dequantize":
        given["quantization_config"] = CompressedTensorsConfig(dequantize=True)
    try:
        model = AutoModelForCausalLM.from_pretrained(
            folder, dtype="auto", local_files_only=True, trust_remote_code=False, **given
        ).eval()
        with torch.no_grad():
            logits = model(kept["tokens"][None], use_cache=False).logits[0].float()
    except Exception as error:  # whatever a reader raises is its verdict
        words = " ".join(str(error).split())[:300]
        return {"loads": False, "why": f"{type(error).__name__}: {words}"}
    difference = logits.log_softmax(-1)[:, kept["words"]] - kept["log_probabilities"]
    return {"loads": True, "difference": float(difference.abs().max())}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(judge(Path(sys.argv[1]))) + "\n")
