"""Workers that send jobs to another spool and run none: what their worker.json tells."""

from __future__ import annotations

from typing import Any, Dict, Optional

from spoolq.text import shell_word

FORWARD = "forward"  # the executor of those that run nothing, but send jobs to another spool


def forwards_to(card: Dict[str, Any]) -> Optional[str]:
    """Return where a forwarder sends jobs, by its worker.json; None where that is of no such."""
    executor = card.get("executor")
    if not isinstance(executor, dict) or executor.get("name") != FORWARD:
        return None
    return str(executor.get("target", "?"))


def settling(card: Dict[str, Any]) -> str:
    """Return the command that settles what a dead forwarder may have sent."""
    target = forwards_to(card)
    return "spoolq forward " + ("TARGET" if target is None else shell_word(target))


def heirs(card: Dict[str, Any], sent: int) -> str:
    """Return what becomes of the jobs of one that is gone, in words.

    Args:
        sent: how many of its claims are on their way to another spool.
    """
    if not sent:
        return "the next worker takes its jobs over"
    what = "1 job" if sent == 1 else f"{sent} jobs"
    return f"{what} may have arrived; settle that:  {settling(card)}"
