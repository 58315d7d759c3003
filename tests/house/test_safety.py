"""What SECURITY.md promises, read from the source."""

from __future__ import annotations

import ast

import pytest

from tests.house.tree import PRODUCT, calls, imports, trees

UNPICKLERS = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
RUNNERS = {"eval", "exec", "torch.load", "torch.hub.load", "os.system", "yaml.load"}
UNPICKLING_ENDS = (".read_pickle",)
FORBIDDEN_ARGUMENTS = ("trust_remote_code", "allow_pickle", "shell")


def offences(tree: ast.Module) -> list[str]:
    found = sorted(imports(tree) & UNPICKLERS)
    for name, call in calls(tree):
        if name in RUNNERS or name.endswith(UNPICKLING_ENDS):
            found.append(name)
        for keyword in call.keywords:
            constant = keyword.value.value if isinstance(keyword.value, ast.Constant) else None
            if keyword.arg in FORBIDDEN_ARGUMENTS and constant is not False:
                found.append(f"{name}({keyword.arg}=…)")
    return found


def test_product_code_runs_nothing_that_it_loads():
    found = {path: offences(tree) for path, tree in trees(*PRODUCT)}
    assert not {path: what for path, what in found.items() if what}


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from pickle import loads",
        "torch.load(path)",
        "torch.load(path, weights_only=True)",
        "pandas.read_pickle(path)",
        "numpy.load(path, allow_pickle=True)",
        "AutoModel.from_pretrained(path, trust_remote_code=True)",
        "AutoModel.from_pretrained(path, trust_remote_code=given)",
        "subprocess.run(line, shell=True)",
        "eval(text)",
    ],
)
def test_the_search_would_find(source: str):
    assert offences(ast.parse(source))


def test_the_search_lets_harmless_code_pass():
    source = "model.eval(); json.load(file); load(path, trust_remote_code=False)"
    assert not offences(ast.parse(source))


def test_the_library_prints_nothing():
    speakers = {"qcore/cli/output.py", "qcore/api/bars.py", "qcore/api/notebook.py"}
    printing = {
        path
        for path, tree in trees("qcore", "kernels", "cache")
        if path not in speakers and any(name == "print" for name, _ in calls(tree))
    }
    assert not printing
