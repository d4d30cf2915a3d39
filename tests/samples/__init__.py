"""Spools as past releases left them: what spoolq must be able to read and go on with for ever.

`format-1.json` lists the files of a spool of format 1, one a line: jobs in every state, names that
are odd but legal, history of every kind, what crashes leave. It is not to be made anew; a feature
that puts something new into a spool adds lines. Git keeps neither empty directories nor FIFOs, so a
listing is kept, and `unpack` makes the spool.
"""

import base64
import json
import os
from pathlib import Path

HERE = Path(__file__).parent


def listing(name):
    """The entries of a sample, in order: a directory comes before what is in it."""
    return json.loads((HERE / f"{name}.json").read_text(encoding="ascii"))


def unpack(name, top):
    """Make the spool of a sample at `top`, readable by its owner alone."""
    os.mkdir(top, 0o700)
    found = listing(name)
    for entry in found:
        path = os.path.join(top, entry["path"])
        kind = entry.get("kind", "file")
        if kind == "directory":
            os.mkdir(path, 0o700)
        elif kind == "fifo":
            os.mkfifo(path, 0o600)
        elif kind == "link":
            os.symlink(entry["text"], path)
        else:
            data = entry["text"].encode() if "text" in entry else base64.b64decode(entry["base64"])
            with open(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as file:
                file.write(data)
    for entry in reversed(found):
        if "mtime" in entry:
            os.utime(os.path.join(top, entry["path"]), (entry["mtime"], entry["mtime"]))
    return top


def picture(top):
    """All that is in a directory: kind, mode and content of each entry, by its path."""
    found = {}
    for here, directories, files in os.walk(top):
        for name in directories + files:
            path = os.path.join(here, name)
            info = os.lstat(path)
            content = Path(path).read_bytes() if os.path.isfile(path) else b""
            found[os.path.relpath(path, top)] = (info.st_mode, content)
    return found
