"""Forwarders of this process: to a spool beside, by a connection that can be made to fail."""

import time

from spoolq import errands, instants
from spoolq.errors import Unreachable
from spoolq.forwarding import Forwarder
from spoolq.lease import Lease
from spoolq.receiving import Receiver
from spoolq.targets import Share, Target
from tests.given import everything


class Direct:
    """Hands batches to a receiver of this process.

    `before` and `after` are called with the lines before and after they are taken in; what they
    raise is a connection that is lost there.
    """

    def __init__(self, spool, before=None, after=None):
        self.receiver = Receiver(spool)
        self.before, self.after = before, after
        self.batches = []

    def exchange(self, lines):
        """Take a batch in."""
        self.batches.append(len(lines))
        if self.before and lines:
            self.before(lines)
        answers = self.receiver.take(lines)
        if self.after and lines:
            self.after(lines)
        return answers

    def close(self):
        """Nothing is open."""

    def kill(self):
        """Nothing runs."""


def target_of(spool):
    """Return the target that a spool of this machine is."""
    return Target(spool.path, spool.path)


def forwarder(source, other, *, connection=None, share=None, clock=instants.now, **more):
    """Return a forwarder from one spool to another, and its lease."""
    target = target_of(other)
    card = {"count": 0, "executor": {"name": errands.FORWARD, "target": target.text}}
    own = Lease.start(source, card)
    made = Forwarder(
        source,
        own,
        target,
        share or Share([target]),
        lambda: connection or Direct(other),
        clock=clock,
        monotonic=time.monotonic,
        **more,
    )
    return made, own


def forward(source, other, **more):
    """Forward all there is; return the tally."""
    made, own = forwarder(source, other, **more)
    try:
        made.run()
    finally:
        own.leave()
    return made.tally


def lost(*_):
    """Lose the connection."""
    raise Unreachable("the connection is lost")


def ids(spool, *states):
    """Return the ids of the jobs in these states, in order."""
    return sorted(name.split(".")[3].split("@")[0] for s, name in everything(spool) if s in states)
