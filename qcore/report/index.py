"""The index: every Report is read once, whoever asks.

Tables of runs, comparison groups, captures and estimates all ask about every run there is. The
index keeps a `Summary` of each in memory and on disk (`report.kept`), in step with the folder:
one look at the folder's time tells whether anything came or went, then only what is new is read.
Whole Reports are read when they are asked for; the newest stay in memory.

Reading goes on in a thread of its own. Whoever asks waits while there is little to read; while
there is much, they get what is known so far, and `ready` tells when it is all.

    index = Index(Library(home()))
    index.summaries()     newest first, as far as they are known
    index.ready           whether that is all; if not, `progress` tells how far it is
    index.stamp           another number whenever the answer has changed; cheap enough to poll
    index.problems        the files that are no Reports, each with a sentence
    index.get(id)         a whole Report
    index.refresh()       read all that is new, and wait for it
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass

from qcore.errors import QuantscopeError
from qcore.report.kept import KeptSummaries
from qcore.report.library import Library, Mark
from qcore.report.report import Report
from qcore.report.summary import Summary, read_summary

TICK_NS = 50_000_000
"""File systems stamp coarsely: two changes within this time may carry the same stamp."""
FEW = 24
"""So many new Reports are waited for; they take a tenth of a second."""
PATIENCE_SECONDS = 0.2
"""How long is waited when there are more."""
_BATCH = 100
_REFRESHED_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class UnreadableReport:
    """A file that is left out: its name, and a sentence on why and what to do (`fact; remedy`)."""

    name: str
    sentence: str


class Index:
    """Summaries of a library's Reports; any number of threads may share it."""

    def __init__(self, library: Library):
        self.library = library
        self._kept = KeptSummaries(library.root)
        self._filling = threading.Lock()
        self._changed = threading.Condition()
        self._reader: threading.Thread | None = None
        self._much = False
        self._known: dict[str, tuple[Mark, Summary | UnreadableReport]] = {}
        self._folder: int | None = None
        self._begun = False
        self._runs: tuple[Summary, ...] = ()
        self._by_id: dict[str, Summary] = {}
        self._problems: tuple[UnreadableReport, ...] = ()
        self._version = 0
        self._progress = (0, 0)

    def summaries(self) -> tuple[Summary, ...]:
        """All runs that are known, newest first."""
        self._look()
        return self._runs

    def summary(self, report: str) -> Summary | None:
        """That of the run of exactly this id, if it is known."""
        self._look()
        return self._by_id.get(report)

    def get(self, report: str) -> Report:
        """The whole Report of that id, or of the only id that starts so.

        Raises:
            InvalidRecipe, CorruptEntry: as `Library.get`.
        """
        return self.library.get(report)

    @property
    def stamp(self) -> int:
        """A number that grows whenever what is known has changed; costs one look at the folder."""
        self._look()
        return self._version

    @property
    def ready(self) -> bool:
        """Whether all that lies in the folder is known."""
        self._look()
        return self._reader is None

    @property
    def progress(self) -> tuple[int, int]:
        """Of the Reports that are being read: how many are done, of how many."""
        return self._progress

    @property
    def problems(self) -> tuple[UnreadableReport, ...]:
        """What lies in the folder under a Report's name and is none, by name."""
        self._look()
        return self._problems

    def refresh(self) -> None:
        """Read whatever is new, however long it takes."""
        with self._filling:
            before = self.library.stamp()
            if before == self._folder:
                return
            self._fill()
            settled = abs(time.time_ns() - before) > TICK_NS
            self._folder = before if settled else None

    def _look(self) -> None:
        """Have what is new read, and wait for it when it is little."""
        if self.library.stamp() == self._folder:
            return
        with self._changed:
            if self._reader is None:
                self._much = False
                self._reader = threading.Thread(target=self._read_on, name="index", daemon=True)
                self._reader.start()
            reader = self._reader
            self._changed.wait_for(lambda: self._much or self._reader is not reader)
            self._changed.wait_for(lambda: self._reader is not reader, PATIENCE_SECONDS)

    def _read_on(self) -> None:
        try:
            self.refresh()
        finally:
            with self._changed:
                self._reader = None
                self._changed.notify_all()

    def _fill(self) -> None:
        """Read what is new, tell it in batches, and keep it on disk."""
        try:
            marks = self.library.marks()
        except QuantscopeError as error:
            self._known = {"reports": (Mark(0, 0, 0), UnreadableReport("reports", str(error)))}
            self._tell()
            return
        known = {name: self._known[name] for name in marks if self._holds(name, marks[name])}
        new = [name for name in marks if name not in known]
        self._progress = (0, len(new))
        if len(new) > FEW:
            self._let_go()
        if not self._begun:
            self._begun = True
            self.library.sweep()
            kept = self._kept.read({name: marks[name] for name in new})
            known |= {name: (marks[name], run) for name, (_, run) in kept.items()}
            new = [name for name in new if name not in known]
        changed = known.keys() != self._known.keys() or bool(new)
        self._known = known
        if changed:
            self._tell()
        self._read_files(new, marks)

    def _read_files(self, names: list[str], marks: dict[str, Mark]) -> None:
        unwritten: dict[str, tuple[Mark, Summary]] = {}
        told = time.monotonic()
        for done, name in enumerate(names, start=1):
            try:
                found: Summary | UnreadableReport = read_summary(self.library, name)
            except FileNotFoundError:
                continue  # gone since
            except QuantscopeError as error:
                found = UnreadableReport(f"{name}.json", str(error))
            self._known[name] = (marks[name], found)
            if isinstance(found, Summary):
                unwritten[name] = (marks[name], found)
            self._progress = (done, len(names))
            if len(unwritten) >= _BATCH:
                self._kept.add(unwritten)
                unwritten = {}
            if time.monotonic() - told > _REFRESHED_SECONDS:
                self._tell()
                told = time.monotonic()
        if unwritten:
            self._kept.add(unwritten)
        if names:
            self._tell()

    def _holds(self, name: str, mark: Mark) -> bool:
        """Whether what is known of a file is still true."""
        if name not in self._known:
            return False
        before, found = self._known[name]
        same = (before.size, before.modified) == (mark.size, mark.modified)
        # What could not be opened may have got another mode since.
        return same and (isinstance(found, Summary) or before.changed == mark.changed)

    def _let_go(self) -> None:
        """Stop whoever waits from waiting for long."""
        with self._changed:
            self._much = True
            self._changed.notify_all()

    def _tell(self) -> None:
        """Make what is known the answer."""
        found = [item for _, item in self._known.values()]
        runs = [item for item in found if isinstance(item, Summary)]
        runs.sort(key=lambda run: (-run.created, run.id))
        problems = [item for item in found if isinstance(item, UnreadableReport)]
        self._by_id = {run.id: run for run in runs}
        self._problems = tuple(sorted(problems, key=lambda item: item.name))
        self._runs = tuple(runs)
        self._version += 1
