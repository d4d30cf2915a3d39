"""Batch systems (Slurm, PBS, LSF, Cobalt) as executors, each under its own name, by way of PSI/J.

A run becomes a batch job, which starts a small program on the machine that the batch system has
chosen; that runs the command as a worker there would. Both sides see the same spool, in which a
ticket for each run says who may start it and how it ended: `tickets`. So runs survive their worker,
wait or go on meanwhile, and are found again.

What runs where:

    forward   in the worker's loop: runs in, ends out
    courier   in a thread: all talk with the batch system
    engine    the batch system, by way of PSI/J, which is imported when one is made
    wrapper   on the compute node
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Dict, Mapping

from spoolq.errors import BadInput

if TYPE_CHECKING:
    from spoolq.executors import Context, Executor


class Batch:
    """One batch system, as an entry point names it."""

    OPTIONS = {
        "queue": "the queue or partition",
        "account": "who pays",
        "reservation": "a reservation to use",
        "walltime": "the time limit of jobs that have no timeout: 90, 10m, 3h, 2d",
        "python": "the Python on the compute nodes that has spoolq (this one)",
        "poll": "how often the batch system is asked for its jobs (10s)",
    }

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def identity(self, options: Mapping[str, str]) -> Dict[str, str]:
        """Return nothing: who sees the spool sees the batch system."""
        return {}

    def make(self, context: Context, options: Mapping[str, str]) -> Executor:
        """Make the executor."""
        from spoolq.executors.batch.forward import BatchExecutor

        return BatchExecutor(self.kind, context, options)


class Local(Batch):
    """PSI/J's own processes, to try all this without a batch system."""

    OPTIONS = {**Batch.OPTIONS, "host": "the machine, which has to be this one"}

    def identity(self, options: Mapping[str, str]) -> Dict[str, str]:
        """Return the machine: no other can tell what became of a process."""
        import socket

        return {"host": options.get("host", socket.gethostname())}

    def make(self, context: Context, options: Mapping[str, str]) -> Executor:
        """Make the executor, on this machine alone."""
        if self.identity(options) != self.identity({}):
            raise BadInput(f"this machine is not {options['host']}", hint="start the worker there")
        return super().make(context, options)


slurm = Batch("slurm")
pbs = Batch("pbs")
pbsclassic = Batch("pbsclassic")
lsf = Batch("lsf")
cobalt = Batch("cobalt")
psijlocal = Local("psijlocal")
