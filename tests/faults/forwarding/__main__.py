"""``python -m tests.faults.forwarding [--short|--long] [--only CASE]``: one JSON line."""

import sys

from ..cases import main
from . import CASES

sys.exit(main("forwarding", CASES))
