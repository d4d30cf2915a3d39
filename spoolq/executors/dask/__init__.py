"""Runs commands on a Dask cluster: `worker start --executor dask`.

The cluster's own processes are the user's, and need spoolq beside Dask. Nothing here imports Dask
before an executor is made.
"""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING, Dict, Mapping

from spoolq.errors import BadInput, SpoolqError
from spoolq.executors import Context
from spoolq.executors.dask.spec import LEASE, LOCAL_LEASE

if TYPE_CHECKING:
    from spoolq.executors.dask.executor import DaskExecutor

OPTIONS = {
    "address": "where the scheduler is, as tcp://10.0.0.1:8786",
    "scheduler_file": "the file in which the scheduler has written that",
    "local": "so many processes of this machine: a cluster that comes and goes with the worker",
    "lease": "seconds after which a command ends that nobody has confirmed (20, local: 5)",
}
_PLACES = ("address", "scheduler_file", "local")


def identity(options: Mapping[str, str]) -> Dict[str, str]:
    """Return where the scheduler is.

    Raises:
        BadInput: that is not said, or twice.
    """
    given = [name for name in _PLACES if name in options]
    if len(given) != 1:
        raise BadInput(
            "where is the Dask scheduler?" if not given else f"{given[0]} or {given[1]}?",
            hint="one of -o address=tcp://HOST:8786, -o scheduler_file=FILE, -o local=N",
        )
    if given[0] == "scheduler_file":
        return {"scheduler_file": os.path.abspath(options["scheduler_file"])}
    if given[0] == "address":
        return {"address": options["address"]}
    return {"local": "1"}  # however many: they are gone with their worker


def make(context: Context, options: Mapping[str, str]) -> DaskExecutor:
    """Make the executor; it finds its scheduler when that is there.

    Raises:
        BadInput: an option is wrong.
        SpoolqError: Dask is not installed.
    """
    lease = _number(options, "lease", LOCAL_LEASE if "local" in options else LEASE)
    (option, shown), *_ = identity(options).items()
    try:
        import distributed  # noqa: F401
    except ImportError as error:
        raise SpoolqError(
            f"Dask is not installed: {error}", hint="pip install 'spoolq[dask]'"
        ) from error
    from spoolq.executors.dask.cluster import Local
    from spoolq.executors.dask.executor import DaskExecutor

    _hush()
    if option == "local":
        local = Local(int(_number(options, "local", 1)))
        return DaskExecutor(context, local.where, "this machine", lease, local)
    return DaskExecutor(context, lambda: {option: shown}, shown, lease)


def _number(options: Mapping[str, str], name: str, default: float) -> float:
    try:
        number = float(options.get(name, default))
    except ValueError:
        number = 0.0
    if not 1 <= number <= 100_000:
        raise BadInput(f"-o {name}={options[name]} is no number from 1 up")
    return number


def _hush() -> None:
    """Keep Dask's own lines out of the worker's: what matters of them, the worker says itself."""
    for name in ("distributed", "tornado", "bokeh", "asyncio"):
        for known in [name, *logging.root.manager.loggerDict]:
            if known.partition(".")[0] == name:
                logging.getLogger(known).handlers[:] = [logging.NullHandler()]
                logging.getLogger(known).propagate = False
