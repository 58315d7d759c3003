"""Before a run: which servers could run what it makes, and what stands in the way."""

from __future__ import annotations

import datetime
import subprocess
import sys

import pytest

from qcore.export.rules import RULES, TARGETS, servability
from qcore.recipe import Recipe


def verdicts(**parts) -> dict[str, str]:
    found = servability(Recipe.from_dict({"model": {"source": "demo"}, **parts}))
    return {verdict.target: f"{verdict.word}: {verdict.why}" for verdict in found}


def test_plain_int4_goes_everywhere():
    found = verdicts(weights={"format": "int4", "group": 32})
    assert found["transformers"] == "unverified: as compressed-tensors, pack-quantized"
    assert found["vLLM"] == "unverified: as compressed-tensors, pack-quantized"
    assert found["llama.cpp"] == "unverified: as GGUF, Q4_0 at 4.5 bits per weight"


REFUSED = [
    ("every", {"weights": None}, "nothing to export"),
    ("every", {"weights": {"format": "mxfp8_e5m2"}}, "mxfp8_e5m2"),
    ("every", {"rotation": {}}, "rotated at run time"),
    ("every", {"rotation": {"block": 64}, "expansion": {"percent": 5}}, "expansion"),
    ("every", {"activations": {"format": "int8"}}, "round"),
    ("llama.cpp", {"weights": {"format": "int4", "group": 16}}, "groups of 16"),
    ("llama.cpp", {"scales": {"storage": "bfloat16"}}, "float16, not bfloat16"),
    ("vLLM", {"weights": {"format": "mxfp6_e2m3"}}, "no kernel for mxfp6_e2m3"),
    (
        "vLLM",
        {
            "weights": {"format": "mxfp4"},
            "precision": {"method": "knapsack", "formats": ["mxfp4", "mxfp8_e4m3"], "fused": False},
        },
        "different formats",
    ),
    (
        "transformers",
        {"model": {"source": "demo", "dtype": "bfloat16"}, "weights": {"format": "int4"}},
        "scales.storage to bfloat16",
    ),
]


@pytest.mark.parametrize(("target", "parts", "why"), REFUSED)
def test_what_a_server_cannot_run_is_said_before_the_run(target, parts, why):
    found = verdicts(**parts)
    for name in TARGETS if target == "every" else [target]:
        assert found[name].startswith("refused: ")
        assert why in found[name]


def test_a_server_that_is_not_concerned_is_left_alone():
    assert verdicts(weights={"format": "int4", "group": 16})["vLLM"].startswith("unverified")
    assert verdicts(rotation={"r4": False})["llama.cpp"].startswith("unverified")


def test_what_transformers_loads_in_one_way_only_is_said():
    assert "dequantize=True" in verdicts(weights={"format": "int4_asym"})["transformers"]
    assert "dequantize=True" not in verdicts(weights={"format": "int4_asym"})["vLLM"]


def test_every_rule_names_its_source_and_a_day():
    for rule in RULES:
        assert rule.source
        assert set(rule.targets) <= set(TARGETS)
        datetime.date.fromisoformat(rule.read)


def test_the_form_may_ask_without_loading_torch():
    code = (
        "import sys; from qcore.export.rules import servability; from qcore.recipe import Recipe;"
        "servability(Recipe()); sys.exit('torch' in sys.modules or 'gguf' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
