"""spoolq: a durable background job queue that is only a directory."""

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = ["JobView", "Spool", "SpoolqError", "__version__", "task"]

if TYPE_CHECKING:
    from spoolq.api import Spool
    from spoolq.errors import SpoolqError
    from spoolq.tasks import task
    from spoolq.views import JobView


def __getattr__(name: str) -> Any:
    """Import what is asked for on first use: `spoolq --help` needs none of it."""
    homes = {"Spool": "api", "JobView": "views", "SpoolqError": "errors", "task": "tasks"}
    if name not in homes:
        raise AttributeError(f"module 'spoolq' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"spoolq.{homes[name]}"), name)
