"""The chores that a worker of the command line does beside its jobs, in their order.

Each is imported when a spool first has something of it.
"""

from __future__ import annotations

from typing import Tuple

from spoolq.chores import Kind

CHORES: Tuple[Kind, ...] = ()
