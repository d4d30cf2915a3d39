"""``python -m tests.faults.batch [--short|--long] [--only CASE]``: one JSON line."""

import sys

from ..cases import main
from . import CASES

sys.exit(main("batch", CASES))
