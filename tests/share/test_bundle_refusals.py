"""Bundles that nobody made well, or somebody made ill: refused, with nothing left of them."""

from __future__ import annotations

import io
import json
import os
import re
import struct
import warnings
import zipfile
from pathlib import Path

import pytest
import torch
from safetensors.torch import load, save

from qcore import cli
from qcore.errors import ShareError
from qcore.report.labels import Labels
from qcore.report.library import Library
from qcore.share import archive
from qcore.share.archive import open_regular
from qcore.share.intake import take_in
from tests.share.helpers_zip import members_of, resealed, tampered, zipped


def refused(content: bytes, root: Path, match: str) -> ShareError:
    """Taking it in raises ShareError, and leaves the home as it was."""
    with pytest.raises(ShareError, match=match) as caught:
        take_in(io.BytesIO(content), root)
    assert caught.value.remedy
    assert not Library(root).ids()
    assert not Labels(root).all()
    folder = root / "imported"
    assert not folder.exists() or not any(folder.iterdir())
    return caught.value


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("../reports/0123456789abcdef.json", "leaves the folder"),
        ("reports/../../x.json", "leaves the folder"),
        ("..\\x.json", "leaves the folder"),
        ("/etc/passwd", "an absolute path"),
        ("\\\\host\\share", "an absolute path"),
        ("C:\\x.json", "an absolute path"),
        ("reports/", "which is no file"),
        ("notes.txt", "does not list"),
    ],
)
def test_a_member_of_another_name_is_refused(bundled, tmp_path, name, says) -> None:
    refused(tampered(bundled, lambda members: members.update({name: b""})), tmp_path, says)


def test_a_listed_member_of_another_name_is_refused(bundled, tmp_path) -> None:
    content = resealed(bundled, lambda members: members.update({"notes.txt": b"hello"}))
    refused(content, tmp_path, "lists the member")


def test_a_link_is_refused(bundled, tmp_path) -> None:
    members = members_of(bundled)
    name = next(name for name in members if name.startswith("reports/"))
    members[name] = b"/etc/passwd"
    refused(zipped(members, links=(name,)), tmp_path, "a link")


def test_a_claim_of_ten_gigabytes_is_refused_before_it_is_read(bundled, tmp_path) -> None:
    content = bytearray(bundled.read_bytes())
    at = content.index(b"PK\x01\x02")  # the first entry of the list of members
    struct.pack_into("<L", content, at + 24, 4_000_000_000)
    refused(bytes(content), tmp_path, "claims 4.0 GB")


def test_a_bomb_is_refused_by_what_all_of_it_claims(bundled, tmp_path) -> None:
    content = bytearray(bundled.read_bytes())
    at = content.index(b"PK\x01\x02")
    for _ in range(5):
        struct.pack_into("<L", content, at + 24, 250_000_000)
        at = content.index(b"PK\x01\x02", at + 1)
    refused(bytes(content), tmp_path, r"claims to unpack to 1\.3 GB, more than 1")


def test_a_bomb_that_claims_little_ends_where_it_claims_to(bundled, tmp_path) -> None:
    members = members_of(bundled)
    name = next(name for name in members if name.startswith("reports/"))
    size = len(members[name])
    members[name] += b" " * (20 << 20)
    content = bytearray(zipped(members))
    at = content.index(name.encode(), content.index(b"PK\x01\x02")) - 46
    struct.pack_into("<L", content, at + 24, size)
    refused(bytes(content), tmp_path, "is damaged")


@pytest.mark.parametrize("part", ["reports/", "scores/", "records.json", "runs.parquet"])
def test_a_flipped_bit_is_refused(bundled, tmp_path, part) -> None:
    content = bytearray(bundled.read_bytes())
    with zipfile.ZipFile(bundled) as opened:
        entry = next(entry for entry in opened.infolist() if entry.filename.startswith(part))
    content[entry.header_offset + 30 + len(entry.filename) + entry.compress_size // 2] ^= 16
    refused(bytes(content), tmp_path, "damaged|is not what")


def test_every_flipped_bit_is_refused_or_changes_nothing(bundled, reports, tmp_path) -> None:
    whole = bundled.read_bytes()
    for at in range(0, len(whole), len(whole) // 60):
        content = bytearray(whole)
        content[at] ^= 1
        root = tmp_path / str(at)
        try:
            take_in(io.BytesIO(bytes(content)), root)
        except ShareError:
            assert not Library(root).ids()
        else:  # a bit that carries nothing, such as a member's date
            assert [Library(root).get(r.id).to_json() for r in reports] == [
                r.to_json() for r in reports
            ]


def test_a_changed_member_with_its_checksum_made_right_is_refused(bundled, tmp_path) -> None:
    def change(members: dict[str, bytes]) -> None:
        name = next(name for name in members if name.startswith("reports/"))
        members[name] = members[name].replace(b"nats/token", b"bits/token")

    refused(tampered(bundled, change), tmp_path, "is not what bundle.json says")


def test_a_missing_member_is_refused(bundled, tmp_path) -> None:
    def change(members: dict[str, bytes]) -> None:
        del members[next(name for name in members if name.startswith("reports/"))]

    refused(tampered(bundled, change), tmp_path, "the bundle lacks reports/")
    refused(resealed(bundled, change), tmp_path, "lacks the member reports/")


def test_a_newer_schema_is_refused_whatever_it_looks_like(bundled, tmp_path) -> None:
    def change(members: dict[str, bytes]) -> None:
        data = json.loads(members["bundle.json"])
        members["bundle.json"] = json.dumps({**data, "schema": 2, "colour": "red"}).encode()
        members["tomorrow.bin"] = b""

    error = refused(tampered(bundled, change), tmp_path, "schema 2, and this version reads up to 1")
    assert "newer Quantscope" in error.remedy


def test_a_member_that_stands_twice_is_refused(bundled, tmp_path) -> None:
    buffer = io.BytesIO(bundled.read_bytes())
    with warnings.catch_warnings(), zipfile.ZipFile(buffer, "a") as opened:
        warnings.simplefilter("ignore")
        opened.writestr("labels.json", "{}")
    refused(buffer.getvalue(), tmp_path, "more than once")


def test_a_file_of_more_than_200_megabytes_is_refused_unread(bundled, tmp_path) -> None:
    large = tmp_path / "large.zip"
    with large.open("wb") as file:
        file.truncate(archive.MOST_BYTES + 1)
    with pytest.raises(ShareError, match="has 200 MB, more than 200"), large.open("rb") as file:
        take_in(file, tmp_path / "home")


def test_a_list_of_millions_of_members_is_refused_unread(tmp_path) -> None:
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 65535, 65535, 150_000_000, 0, 0)
    refused(bytes(1000) + end, tmp_path, "lists more than 10,000 members")
    locator = struct.pack("<4sLQL", b"PK\x06\x07", 0, 0, 1)
    refused(bytes(1000) + locator + end[:12] + bytes(10), tmp_path, "lists more than")


@pytest.mark.parametrize("content", [b"", b"PK", b"hello" * 100, b"PK\x05\x06" + bytes(18)])
def test_what_is_no_zip_or_no_bundle_is_refused(tmp_path, content) -> None:
    refused(content, tmp_path, "no zip file|has no bundle.json")


def test_another_zip_with_a_manifest_is_refused(tmp_path) -> None:
    for text in ("[]", "{}", "no json", '{"format": "other"}', "[" * 100_000):
        refused(zipped({"bundle.json": text.encode()}), tmp_path, "bundle.json")


def test_a_report_under_anothers_name_is_refused(bundled, tmp_path) -> None:
    def change(members: dict[str, bytes]) -> None:
        a, b, *_ = [name for name in members if name.startswith("reports/")]
        members[a] = members[b]

    refused(resealed(bundled, change), tmp_path, "holds the Report")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b'"schema":1', b'"schema":9'),
        (b'"block":0', b'"block":-7'),
        (b'"metrics":', b'"metricks":'),
        (b'"created":1', b'"created":1e999,"x":1'),
    ],
)
def test_a_member_that_is_no_report_is_refused(bundled, tmp_path, before, after) -> None:
    def change(members: dict[str, bytes]) -> None:
        name = next(name for name in members if name.startswith("reports/"))
        assert before in members[name]
        members[name] = members[name].replace(before, after)

    refused(resealed(bundled, change), tmp_path, "is no Report")


@pytest.mark.parametrize(
    ("kind", "value"),
    [("pieces", [1, 2]), ("measures", {"q": {}}), ("sizes", {}), ("mystery", 1)],
)
def test_a_record_of_another_shape_or_kind_is_refused(bundled, tmp_path, kind, value) -> None:
    def change(members: dict[str, bytes]) -> None:
        records = json.loads(members["records.json"])
        keys = list(records.get(kind, {})) or ["a" * 64]
        records[kind] = {keys[0]: value}
        members["records.json"] = json.dumps(records).encode()

    refused(resealed(bundled, change), tmp_path, "record")


def test_a_record_under_a_key_that_no_run_names_is_refused(bundled, tmp_path) -> None:
    def change(members: dict[str, bytes]) -> None:
        records = json.loads(members["records.json"])
        records["pieces"]["f" * 64] = ["a"]
        members["records.json"] = json.dumps(records).encode()

    refused(resealed(bundled, change), tmp_path, "none of its runs names")


@pytest.mark.parametrize("fault", ["window", "field", "length", "type", "nan", "file"])
def test_scores_of_another_shape_are_refused(bundled, tmp_path, fault) -> None:
    def change(members: dict[str, bytes]) -> None:
        name = next(name for name in members if name.startswith("scores/"))
        tensors = load(members[name])
        if fault == "window":
            tensors = {key: part for key, part in tensors.items() if not key.startswith("0.")}
        elif fault == "field":
            tensors["0.logits"] = tensors["0.loss"].clone()
        elif fault == "length":
            tensors["0.kl"] = tensors["0.kl"][:-1].clone()
        elif fault == "type":
            tensors["0.loss"] = tensors["0.loss"].double()
        elif fault == "nan":
            tensors["0.loss"] = torch.full_like(tensors["0.loss"], torch.nan)
        members[name] = b"nothing" if fault == "file" else save(tensors)

    refused(resealed(bundled, change), tmp_path, "scores|safetensors")


@pytest.mark.parametrize(
    "said",
    [
        {"0123456789abcdef": {"name": "x", "note": "", "tags": []}},
        {"RUN": {"name": "x" * 101, "note": "", "tags": []}},
        {"RUN": {"name": "", "note": "x" * 4001, "tags": []}},
        {"RUN": {"name": "", "note": "", "tags": [str(at) for at in range(21)]}},
        {"RUN": {"name": 1}},
        [],
    ],
)
def test_labels_that_no_run_has_are_refused(bundled, reports, tmp_path, said) -> None:
    text = json.dumps(said).replace("RUN", reports[0].id)
    content = resealed(bundled, lambda members: members.update({"labels.json": text.encode()}))
    refused(content, tmp_path, "labels.json")


def test_markup_and_control_characters_in_every_text_stay_text(bundled, reports, tmp_path) -> None:
    evil = "</script><img src=x onerror=alert(1)>\u202e\x1b[31m"

    def change(members: dict[str, bytes]) -> None:
        manifest = json.loads(members["bundle.json"])
        manifest["title"] = evil[:60]
        members["bundle.json"] = json.dumps(manifest).encode()
        said = {reports[0].id: {"name": evil, "note": evil, "tags": [evil[:40]]}}
        members["labels.json"] = json.dumps(said).encode()

    taken = take_in(io.BytesIO(resealed(bundled, change)), tmp_path, name=f"/a/{evil}.zip")
    label = Labels(tmp_path).of(reports[0].id)
    assert label.name == "</script><img src=x onerror=alert(1)>[31m"
    for text in (label.name, label.note, *label.tags, taken.origin.title, taken.origin.file):
        assert not re.search("[\x00-\x1f\u202e]", text)


def test_a_name_that_is_no_regular_file_is_refused(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.setenv("QUANTSCOPE_HOME", str(tmp_path / "home"))
    os.mkfifo(tmp_path / "pipe")
    for name in ("pipe", ".", "none.zip"):
        with pytest.raises(ShareError):
            open_regular(tmp_path / name)
        assert cli.main(["import", str(tmp_path / name)]) == 1
    assert "Traceback" not in capsys.readouterr().err


def test_a_full_disk_leaves_nothing_behind(bundled, tmp_path, monkeypatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("qcore.share.intake.os.rename", full)
    from qcore.errors import DiskFull

    with pytest.raises(DiskFull, match="No space left"), bundled.open("rb") as file:
        take_in(file, tmp_path)
    assert not any((tmp_path / "imported").iterdir())
    assert not Library(tmp_path).ids()
