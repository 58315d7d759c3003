"""How the threads of one computation wait for each other on a machine that others use too.

torch's CPU threads meet at the end of every operator. Whoever comes first spins: it asks again and
again whether the others are there, for 300,000 rounds (about 10 ms) in the OpenMP library of
torch's Linux packages, GNU's libgomp. Alone on the machine that is the quickest way. As soon as a
browser or another run wants a core, the thread that is waited for may be the one without a core,
and the other burns its own for nothing: a run of INT4 GPTQ on two cores takes 40 s alone and 99 s
beside one busy process. Sleeping at once (`OMP_WAIT_POLICY=PASSIVE`) makes that 73 s, and 44 to
48 s alone, for waking up takes longer than most operators wait. Spinning for some thousand rounds
and sleeping then costs little in both: `python -m benchmarks.threads` measures it, also against
fewer threads, which are no better anywhere.

The libraries read these variables when they are loaded, so they must be set before torch is
imported. What the user has set stands.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

SPINS = 10_000
"""Rounds for which a thread of GNU's OpenMP asks before it sleeps: about a third of a millisecond
to a millisecond."""
_SETTINGS = {
    "GOMP_SPINCOUNT": str(SPINS),  # GNU: torch's packages for Linux
    "KMP_BLOCKTIME": "1",  # LLVM and Intel, in ms instead of 200: macOS, conda
}
_USERS = {*_SETTINGS, "OMP_WAIT_POLICY", "KMP_LIBRARY"}


def environment(given: Mapping[str, str]) -> dict[str, str]:
    """The variables to add to a process's environment before it imports torch.

    Args:
        given: the environment as it is. Where it says how threads wait, nothing is added.
    """
    return {} if _USERS & given.keys() else dict(_SETTINGS)


def spin_briefly() -> None:
    """Set how the threads of this process will wait; only before torch is imported."""
    os.environ.update(environment(os.environ))
