"""The user's editor, on a file of the user's own in the temporary directory."""

from __future__ import annotations

import os
import subprocess
import tempfile

from spoolq import config
from spoolq.errors import BadInput
from spoolq.job import MAX_GIVEN


def edited(text: bytes, job_id: str) -> bytes:
    """Let the user edit a text, in a file for this user alone, and return it.

    Raises:
        BadInput: the editor cannot be started, or says that it failed.
    """
    environment = config.environment()
    editor = environment.get("VISUAL") or environment.get("EDITOR") or "vi"
    with tempfile.TemporaryDirectory(prefix="spoolq-") as room:
        path = os.path.join(room, f"{job_id}.json")
        with open(path, "wb") as file:
            file.write(text)
        try:
            # As git and crontab do: the variable may hold options.
            done = subprocess.run(["/bin/sh", "-c", f'{editor} "$@"', editor, path], check=False)
        except OSError as error:
            raise BadInput(f"no editor can be started: {error.strerror}") from error
        if done.returncode != 0:
            raise BadInput(
                f"the editor, {editor!r}, ended with {done.returncode}: nothing was changed",
                hint="another one:  EDITOR=nano spoolq edit " + job_id,
            )
        return contents(path)


def contents(path: str) -> bytes:
    """Return what a file holds, of a very long one the beginning."""
    with open(path, "rb") as file:
        return file.read(MAX_GIVEN + 1)


def kept(text: bytes, job_id: str) -> str:
    """Keep a text that was refused, and return where."""
    descriptor, path = tempfile.mkstemp(prefix=f"spoolq-{job_id}-", suffix=".json")
    with os.fdopen(descriptor, "wb") as file:
        file.write(text)
    return path
