"""Nothing stands in the product for tests alone."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator

from tests.house.tree import PRODUCT, trees

CALLED_FROM_OUTSIDE = {
    # lm-eval calls what its LM interface names.
    *("eot_token_id", "prefix_token_id", "tok_encode"),
    *("_loglikelihood_tokens", "loglikelihood_rolling", "generate_until"),
    # diskcache calls what its Disk interface names.
    "fetch",
    # One of the six MX elements, all of which stand beside each other.
    "E3M2",
    # The work of an epoch of suffix training, said in docs/suffix.md and not on a page yet.
    "targets_per_epoch",
    # Codes and scales in memory as the standard packs them: the operation that its twins implement,
    # and what undoes it.
    *("quantize_microscaling", "dequantize_microscaling"),
}


def test_every_name_of_the_product_is_used_by_more_than_tests():
    used = _uses(*PRODUCT, "benchmarks")
    unused = [
        f"{path}: {name}"
        for path, tree in trees(*PRODUCT)
        for name in _definitions(tree.body)
        if not used[name] and name not in CALLED_FROM_OUTSIDE
    ]
    assert unused == []


def _definitions(body: list[ast.stmt]) -> Iterator[str]:
    """Functions, classes and constants of a module, and the methods of its classes."""
    for node in body:
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                if not name.startswith("__"):
                    yield name
            case ast.ClassDef():
                yield node.name
                methods = (ast.FunctionDef, ast.AsyncFunctionDef)
                yield from _definitions([item for item in node.body if isinstance(item, methods)])
            case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
                if not name.startswith("__"):
                    yield name
            case ast.If():
                yield from _definitions(node.body)


def _uses(*parts: str) -> Counter[str]:
    """How often each word is read: as a name, an attribute, a keyword or a text that names it."""
    found: Counter[str] = Counter()
    for _, tree in trees(*parts):
        for node in ast.walk(tree):
            match node:
                case ast.Name(id=word, ctx=ast.Load()) | ast.Attribute(attr=word):
                    found[word] += 1
                case ast.keyword(arg=str(word)):
                    found[word] += 1
                case ast.Constant(value=str(text)) if len(text) < 100:
                    found[text.rpartition(":")[2].rpartition(".")[2]] += 1
    return found
