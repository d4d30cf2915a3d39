"""What a job asks of a batch system: its needs, and the time that it may take."""

from __future__ import annotations

import math
import re
from typing import Dict, Mapping, Optional, Tuple

from spoolq.config import Settings
from spoolq.errors import BadInput
from spoolq.job import Job

#: Names of needs, what the batch system is asked for, and how much of it one is.
KNOWN: Dict[str, Tuple[str, int]] = {
    "cpu": ("cpus", 1),
    "cpus": ("cpus", 1),
    "gpu": ("gpus", 1),
    "gpus": ("gpus", 1),
    "memory": ("memory", 1),  # bytes
    "mem.gb": ("memory", 2**30),
}
_MARGIN = 60.0  # seconds that a batch job may take beside its command, to start and to end it
_DURATION = re.compile(r"(\d+)([smhd]?)", re.ASCII)
_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400}


def amounts(job: Job) -> Tuple[Dict[str, int], str]:
    """Return what to ask the batch system for, and what is wrong with a job's needs, if anything.

    A part of a core is a core.
    """
    found: Dict[str, int] = {}
    for name, amount in job.needs.items():
        if name.lower() not in KNOWN:
            known = ", ".join(KNOWN)
            return {}, f"it needs {name!r}, which a batch system does not know; it knows {known}"
        meant, unit = KNOWN[name.lower()]
        if meant in found:
            return {}, f"it needs {meant} twice, under two names"
        found[meant] = math.ceil(amount * unit)
    return found, ""


def walltime(job: Job, settings: Settings, otherwise: Optional[float]) -> Optional[float]:
    """Return the seconds after which the batch system may end a job by itself, or None.

    The timeout comes first, with its own words; this is for a wrapper that cannot do it.
    """
    timeout = settings.timeout_of(job)
    return otherwise if timeout is None else timeout + settings.grace + _MARGIN


def duration(options: Mapping[str, str], key: str, default: Optional[float]) -> Optional[float]:
    """Return the seconds that an option names: 90, 10m, 3h, 2d.

    Raises:
        BadInput: it is no such text.
    """
    if key not in options:
        return default
    match = _DURATION.fullmatch(options[key])
    if match is None or int(match.group(1)) == 0:
        raise BadInput(
            f"{key}={options[key]} is no duration", hint=f"seconds, or with a unit:  -o {key}=3h"
        )
    return float(int(match.group(1)) * _UNITS[match.group(2)])
