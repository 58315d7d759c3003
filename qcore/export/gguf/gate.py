"""The gate for GGUF files: what do gguf, transformers and llama.cpp make of the file?

Run by itself, in a process and an environment where `gguf` and transformers are installed, and
llama.cpp (package `xllamacpp`) if it is to be run:

    python gate.py FOLDER

It imports nothing of Quantscope, reads the folder alone, and writes one line of JSON:

- `tensors`: of the file as transformers reads it (gguf's own dequantization, rows of q and k put
  back into order by transformers' own code), the names whose SHA-256 is not the one in
  `quantscope.json`; `missing` and `unexpected` names; `bytes` of their data.
- `difference`: of that network's log-probabilities from the ones kept beside the weights.
- `llama_cpp`: whether it loads; which texts it cuts into other tokens; and the mean KL divergence
  from the network that transformers has read, at the kept tokens.
- `versions`: of what has read it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
import sys
import urllib.request
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

FILE = "model.gguf"
TURNS, START = 4, 12
"""The kept tokens are read from as many places on, in a ring, and compared from the 13th on: with
64 tokens at 208 positions."""

SHOWN = 512
"""Words whose probabilities llama.cpp is asked for; all others are taken together."""


def judge(folder: Path) -> dict[str, Any]:
    """Everything the readers say about a folder; see the module's text."""
    import torch
    from gguf import GGUFReader
    from safetensors.torch import load_file
    from transformers import AutoConfig, AutoModelForCausalLM

    proof = json.loads((folder / "quantscope.json").read_text(encoding="utf-8"))
    config = AutoConfig.from_pretrained(folder, local_files_only=True)
    model: Any = AutoModelForCausalLM.from_pretrained(
        folder,
        gguf_file=FILE,
        config=config,
        dtype=torch.float32,
        local_files_only=True,
        trust_remote_code=False,
    ).eval()
    kept = load_file(folder / "quantscope_logits.safetensors")
    expected = proof["tensors"]
    head = model.get_output_embeddings().weight
    tied = head.data_ptr() == model.get_input_embeddings().weight.data_ptr()
    read = {
        name: _digest(parameter)
        for name, parameter in model.named_parameters()
        if not (tied and parameter is head and name not in expected)
    }
    dtype = getattr(torch, str(config.dtype).removeprefix("torch."))
    logits = _logits(torch.nn.Module.to(model, dtype), kept["tokens"])
    difference = logits.log_softmax(-1)[:, kept["words"]] - kept["log_probabilities"]
    stored = GGUFReader(folder / FILE).tensors
    return {
        "tensors": {
            "read": len(read),
            "different": sorted(n for n in read if n in expected and read[n] != expected[n]),
            "missing": sorted(set(expected) - set(read)),
            "unexpected": sorted(set(read) - set(expected)),
            "bytes": sum(int(tensor.n_bytes) for tensor in stored),
        },
        "difference": float(difference.abs().max()),
        "llama_cpp": _llama_cpp(
            folder / FILE, torch.nn.Module.float(model), kept["tokens"].tolist(), proof["texts"]
        ),
        "versions": dict(_versions("gguf", "transformers", "torch", "xllamacpp")),
    }


def _digest(tensor: Any) -> str:
    import torch

    plain = tensor.detach().contiguous().reshape(-1).view(torch.uint8).numpy()
    return hashlib.sha256(plain.data).hexdigest()


def _logits(model: Any, tokens: Any) -> Any:
    """Of every position of `tokens` [length], float32."""
    import torch

    with torch.no_grad():
        return model(tokens[None], use_cache=False).logits[0].float()


def _versions(*names: str) -> Any:
    for name in names:
        with contextlib.suppress(PackageNotFoundError):
            yield name, version(name)


def _llama_cpp(
    path: Path, model: Any, tokens: list[int], texts: list[dict[str, Any]]
) -> dict[str, Any] | None:
    """What llama.cpp does with the file; None where it is not installed."""
    try:
        import torch
        import xllamacpp  # pyright: ignore[reportMissingImports]
    except ImportError:
        return None
    given = xllamacpp.CommonParams()
    given.model.path = str(path)
    given.n_ctx = min(512, model.config.max_position_embeddings)
    given.n_gpu_layers = 0
    given.warmup = False
    given.fit_params = False
    given.cpuparams.n_threads = given.cpuparams_batch.n_threads = int(
        os.environ.get("OMP_NUM_THREADS", os.cpu_count() or 1)
    )
    try:
        server = xllamacpp.Server(given)
    except Exception as error:  # whatever a reader raises is its verdict
        return {"loads": False, "why": " ".join(str(error).split())[:300]}
    plain = texts[0]["ids"][-1]
    total, count = 0.0, 0
    for first in range(0, len(tokens), len(tokens) // TURNS):
        turned = tokens[first:] + tokens[:first]
        ours = _logits(model, torch.tensor(turned)).double().softmax(-1)
        for place in range(START, len(turned)):
            shown = _shown(server, turned[: place + 1], plain)
            total += _divergence(ours[place], shown)
            count += 1
    cut = [each["text"] for each in texts if _tokens(server, each["text"]) != each["ids"]]
    return {"loads": True, "kl": total / count, "positions": count, "other_tokens": cut}


def _shown(server: Any, prompt: list[int], plain: int) -> dict[int, float]:
    """The log-probabilities of the likeliest words after a prompt, by token.

    `plain` is the token that is drawn whatever the distribution: one whose bytes are whole
    characters, for llama.cpp reports nothing of tokens that end in the middle of one.
    """
    answer = server.handle_completions(
        {
            "prompt": prompt,
            "n_predict": 1,
            "n_probs": SHOWN,
            "temperature": 0.0,
            "logit_bias": [[plain, 1e9]],
            "ignore_eos": True,
            "cache_prompt": True,
        }
    )
    (first,) = answer["choices"][0]["logprobs"]["content"]
    return {word["id"]: word["logprob"] for word in first["top_logprobs"]}


def _divergence(ours: Any, shown: dict[int, float]) -> float:
    """The KL divergence of llama.cpp's words from the network's, nats; the rest as one word."""
    pairs = [(float(ours[word]), math.exp(value)) for word, value in shown.items()]
    if len(shown) < len(ours):
        rest = 1 - sum(p for p, _ in pairs), 1 - sum(q for _, q in pairs)
        pairs.append((max(rest[0], 1e-12), max(rest[1], 1e-12)))
    return sum(p * math.log(p / max(q, 1e-30)) for p, q in pairs if p > 0)


def _tokens(server: Any, text: str) -> list[int]:
    request = urllib.request.Request(
        f"{server.listening_address}/tokenize",
        json.dumps({"content": text, "add_special": True}).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)["tokens"]


if __name__ == "__main__":
    # llama.cpp writes where it likes: the answer alone goes to the standard output.
    answer = os.dup(1)
    os.dup2(2, 1)
    text = json.dumps(judge(Path(sys.argv[1]))) + "\n"
    os.write(answer, text.encode())
