"""`python -m qcore`: the command line."""

import sys

from qcore.cli import main

sys.exit(main())
