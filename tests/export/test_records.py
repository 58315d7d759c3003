"""Records of exports: what was said, how far it is, and that a killed one is told from a moving."""

from __future__ import annotations

import pytest

from qcore.errors import ExportError
from qcore.export.records import Exports
from qcore.export.verdict import Verdict
from qcore.progress import Event

RUN = "0123456789abcdef"


def test_what_the_readers_said_is_kept_by_run_and_layout(tmp_path):
    exports = Exports(tmp_path)
    said = Verdict("llama.cpp", "smoke-tested", "5.7e-3 nats per token")
    with exports.recording(RUN, "gguf", tmp_path / "out") as record:
        record.heard(Event("export", 3, 9, "3 of 9 tensors", kind="stage"))
        (moving,) = exports.of(RUN)
        assert (moving.state, moving.done, moving.total) == ("running", 3, 9)
        record.done([said], 120, 100)
    (one,) = Exports(tmp_path).of(RUN)
    assert (one.state, one.verdicts, one.bytes, one.promised) == ("done", (said,), 120, 100)
    assert exports.of("f" * 16) == []


def test_an_error_is_kept_as_its_sentence(tmp_path):
    exports = Exports(tmp_path)
    with (
        pytest.raises(ExportError),
        exports.recording(RUN, "gguf", tmp_path / "out"),
    ):
        raise ExportError("no type of GGUF holds it", remedy="choose another")
    (one,) = exports.of(RUN)
    assert one.state == "failed"
    assert one.error == "no type of GGUF holds it; choose another"


def test_an_export_whose_process_is_gone_has_stopped(tmp_path):
    exports = Exports(tmp_path)
    with exports.recording(RUN, "gguf", tmp_path / "out"):
        text = (tmp_path / "exports" / f"{RUN}.gguf.json").read_text()
        with (
            pytest.raises(ExportError, match="already"),
            exports.recording(RUN, "gguf", tmp_path / "other"),
        ):
            pytest.fail("twice at once")
    (tmp_path / "exports" / f"{RUN}.gguf.json").write_text(text)
    assert [one.state for one in exports.of(RUN)] == ["stopped"]


@pytest.mark.parametrize("text", ["", "{", "[]", '{"report": 1}', '{"verdicts": [{"x": 1}]}'])
def test_a_broken_record_is_left_out(tmp_path, text):
    (tmp_path / "exports").mkdir()
    (tmp_path / "exports" / f"{RUN}.gguf.json").write_text(text)
    assert Exports(tmp_path).of(RUN) == []
    assert Exports(tmp_path).of("../../etc") == []
