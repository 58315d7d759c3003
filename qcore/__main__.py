"""`python -m qcore`: the command line.

Signals are handled before anything slow is imported, so that an early interrupt leaves no trace.
"""

import signal
import sys

from qcore.cli.signals import ENDING, leave_at_once


def _program() -> int:
    for number in ENDING:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, leave_at_once)
    from qcore.cli import main, output

    try:
        status = main()
    except SystemExit as left:
        status = left.code if isinstance(left.code, int) else int(left.code is not None)
    return output.finish(status)


if __name__ == "__main__":
    sys.exit(_program())
