import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

from transformers.utils.import_utils import KERNELS_MAX_VERSION, KERNELS_MIN_VERSION

from qcore.models.coexistence import refuse_foreign_kernels

ROOT = Path(__file__).parents[2]


def pretend(folder, number):
    """A folder that makes Python believe the distribution `kernels` is installed."""
    about = folder / f"kernels-{number}.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: kernels\nVersion: {number}\n")
    return folder


def checkout(folder):
    """Our top level, as far as transformers can see it: a package called kernels."""
    (folder / "kernels").mkdir(parents=True)
    (folder / "kernels" / "__init__.py").write_text('"""Ours."""\n')
    return folder


def python(code, *path):
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, path))},
        capture_output=True,
        text=True,
        timeout=120,
    )


ASK = "from transformers.utils.import_utils import is_kernels_available as a; print(a())"
IMPORT = "import transformers.integrations.hub_kernels"


def test_transformers_takes_our_folder_for_absent_when_the_package_is_not_installed(tmp_path):
    done = python(ASK, checkout(tmp_path))
    assert (done.returncode, done.stdout) == (0, "False\n"), done.stderr


def test_transformers_breaks_on_our_folder_when_the_package_is_installed(tmp_path):
    """The reason for the refusal; when this fails, transformers has changed: look again."""
    foreign = pretend(tmp_path / "site", KERNELS_MIN_VERSION)
    done = python(IMPORT, checkout(tmp_path / "ours"), foreign)
    assert done.returncode != 0
    assert "cannot import name" in done.stderr
    assert "kernels" in done.stderr


def test_the_installed_package_is_refused_with_the_remedy_in_a_fresh_process(tmp_path):
    foreign = pretend(tmp_path / "site", KERNELS_MIN_VERSION)
    code = "from qcore.models.coexistence import refuse_foreign_kernels as r; r()"
    done = python(code, checkout(tmp_path / "ours"), ROOT, foreign)
    message = done.stderr.splitlines()[-1]
    assert message.startswith("qcore.errors.ModelError: the package kernels"), done.stderr
    assert "run `pip uninstall kernels`" in message


def test_a_version_that_transformers_ignores_is_harmless(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(pretend(tmp_path, KERNELS_MAX_VERSION))
    assert version("kernels") == KERNELS_MAX_VERSION
    refuse_foreign_kernels()


def test_without_the_package_nothing_is_refused():
    refuse_foreign_kernels()
