"""One engine for runs outside the queue: home, cache, device, and one network kept between runs.

A run has its device to itself: it waits for a job that is there, and jobs wait for it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from qcore.errors import InvalidRecipe
from qcore.machine.home import cache_limit, home
from qcore.progress import Emit

if TYPE_CHECKING:
    from cache.store import Cache
    from qcore.pipeline import Session
    from qcore.recipe import Recipe
    from qcore.report.report import Report


class Engine:
    """Runs recipes one after the other on one device.

    Args:
        root: the home: its cache, its library, its queue.
        cache: where the stages' outcomes are kept.
        session: the device, and the network that is loaded on it.
        note: told in a sentence when a run waits for its device.
    """

    def __init__(self, root: Path, cache: Cache, session: Session, note: Callable[[str], None]):
        self._root = root
        self._cache = cache
        self._session = session
        self._note = note

    @classmethod
    def at_home(cls, device: str | None, *, note: Callable[[str], None]) -> Engine:
        """The engine of the user's home. `device` None is the first GPU, else the CPU.

        Raises:
            InvalidRecipe: no such device, or no such cache size.
            DiskFull: the home cannot be made.
        """
        from cache.store import Cache
        from qcore.machine.devices import devices
        from qcore.pipeline import Session  # waits for torch

        known = [item.name for item in devices()]
        if device is not None and device not in known:
            raise InvalidRecipe(f"no device {device!r} here", remedy=f"choose {', '.join(known)}")
        root = home()
        cache = Cache(root / "cache", cache_limit())
        return cls(root, cache, Session(root, device or known[0]), note)

    def run(self, recipe: Recipe, emit: Emit) -> Report:
        """The recipe's Report, from the library where this exact run was finished before.

        Raises:
            QuantscopeError: the run failed.
        """
        from qcore.pipeline import preview, run

        waits = not preview([recipe], self._cache, root=self._root).finished  # no repeat waits
        with self._device() if waits else contextlib.nullcontext():
            return run(recipe, cache=self._cache, emit=emit, root=self._root, session=self._session)

    def ensure(self, recipe: Recipe, stage: str, emit: Emit) -> str:
        """Have one stage of the recipe in the cache; returns its key.

        Raises:
            InvalidRecipe: the recipe has no such stage.
            QuantscopeError: it failed.
        """
        from qcore.pipeline import ensure, require_stage

        require_stage(recipe, stage)
        cache, root, session = self._cache, self._root, self._session
        with self._device():
            return ensure(recipe, stage, cache=cache, emit=emit, root=root, session=session)

    def _device(self) -> contextlib.AbstractContextManager[None]:
        """Hold the device, waiting for the job that has it."""
        from qcore.jobs.local import device_lock
        from qcore.jobs.local.backend import LocalBackend

        return device_lock.hold(LocalBackend(self._root), self._session.device, self._note)
