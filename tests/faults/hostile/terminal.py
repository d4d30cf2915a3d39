"""Control characters wherever a job can carry them: none reaches a terminal raw."""

import json
import os
import pty
import re
import select
import subprocess
import time
from typing import List, Optional, Sequence

from ..cases import Bench, Case
from ..place import DEADLINE, Place, wait_for
from . import hosting

#: ESC sequences, BEL, CR, backspace, C1 in UTF-8, DEL, bidi overrides, line separators.
EVIL = "\x1b[2J\x1b]0;title\x07\r\b\x9b31m\x7f\u202ebidi\u2066\u200f\u2028\x0b\x0c\x85"
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_VERBS: Sequence[Sequence[str]] = (
    ("status",),
    ("list",),
    ("list", "--json"),
    ("list", "--tag", EVIL),
    ("list", "--state", EVIL),
    ("dlq", "list"),
    ("dlq", "list", "--json"),
    ("show", "evil"),
    ("show", "evil", "--json"),
    ("show", "words"),
    ("show", EVIL),
    ("logs", "evil"),
    ("logs", "-f", "evil"),
    ("logs", "evil", "--json"),
    ("logs", EVIL),
    ("wait", "evil"),
    ("wait", EVIL),
    ("cancel", EVIL),
    ("cancel", "evil"),
    ("retry", EVIL),
    ("dlq", "retry", EVIL),
    ("dlq", "retry", "bad" + EVIL),
    ("dlq", "purge", EVIL),
    ("enqueue", "--id", EVIL, "true"),
    ("enqueue", "--cwd", EVIL, "true"),
    ("enqueue", "--env", EVIL, "true"),
    ("enqueue", "--priority", EVIL, "true"),
    ("enqueue", "--at", EVIL, "true"),
    ("enqueue", "--no" + EVIL, "true"),
    ("config", "list"),
    ("config", "set", EVIL, "1"),
    ("config", "set", "settle", EVIL),
    ("worker", "list"),
    ("worker", "stop", EVIL),
    ("purge", "--older-than", EVIL),
    ("doctor",),
    ("doctor", "--json"),
    ("completion", "bash"),
    ("run", "printf '\\033[2J\\007\\302\\233x'"),
    (EVIL,),
    ("--color", EVIL, "list"),
    ("--spool", "/nowhere/" + EVIL, "list"),
)
_LAST: Sequence[Sequence[str]] = (("dlq", "purge", "--yes"),)  # what was to be shown is gone then


def on_terminal(place: Place, *words: str) -> Optional[str]:
    """Run spoolq with a terminal on its three streams; return what was shown, None if it hangs."""
    parent, child = pty.openpty()
    environment = {**place.environment(), "TERM": "xterm", "COLUMNS": "200"}
    environment.pop("NO_COLOR", None)
    process = subprocess.Popen(
        place.command(*words),
        stdin=child,
        stdout=child,
        stderr=child,
        env=environment,
        start_new_session=True,
    )
    os.close(child)
    shown = b""
    until = time.monotonic() + DEADLINE
    try:
        while time.monotonic() < until:
            if not select.select([parent], [], [], 0.1)[0]:
                continue
            try:
                data = os.read(parent, 65536)
            except OSError:  # the other side is closed
                return shown.decode("utf-8", "surrogateescape")
            if not data:
                return shown.decode("utf-8", "surrogateescape")
            shown += data
        return None
    finally:
        process.kill()
        process.wait()
        os.close(parent)


def raw(shown: str) -> List[str]:
    """Return the characters that a terminal would act on, colours and new lines aside."""
    text = _COLOUR.sub("", shown).replace("\r\n", "\n")
    for own in ("\x1b[?25l", "\x1b[?25h", "\x1b[2K", "\x1b[1A", "\r\x1b[K"):  # progress bars
        text = text.replace(own, "")
    text = text.replace("\x1b[K", "").replace("\t", "")
    return sorted({char for char in text if not char.isprintable() and char != "\n"})


def _prepare(place: Place) -> None:
    place.make(max_retries=0)
    evil = {
        "command": ["printf", "%b", "\\033[2J\\007\\302\\233x\\r\\b\\342\\200\\256" + EVIL],
        "id": "evil",
        "name": EVIL,
        "tags": [EVIL],
        "env": {"E" + EVIL: EVIL},
        "x" + EVIL: EVIL,
    }
    words = {"command": "exit 3 # " + EVIL, "id": "words", "name": "n" + EVIL}
    gone = {"command": ["/no/" + EVIL], "id": "gone", "cwd": "/no/" + EVIL}
    pending = os.path.join(place.spool, "pending")
    for number, fields in enumerate((evil, words, gone)):
        path = os.path.join(place.top, "aside")
        with open(path, "w", encoding="utf-8") as file:
            json.dump(fields, file)
        os.rename(path, os.path.join(pending, f"{number}{EVIL}.json"))
    with open(os.path.join(pending, f"bad{EVIL}.json"), "w", encoding="utf-8") as file:
        file.write(json.dumps({"command": "true", "priority": EVIL, "name" + EVIL: EVIL}))
    with open(os.path.join(place.spool, "pending", "worse.json"), "w", encoding="utf-8") as file:
        file.write('{"command": ' + EVIL + "}")
    os.mkdir(os.path.join(place.spool, "workers", "w" + EVIL))


def _show(bench: Bench, verbs: Sequence[Sequence[str]]) -> None:
    for words in verbs:
        shown = on_terminal(bench.place, *words)
        if words[0] == "run" and shown is None:
            continue
        bench.count("verbs on a terminal")
        if bench.check(shown is not None, f"{words} does not end") and shown is not None:
            found = raw(shown)
            bench.check(not found, f"{words} shows {found}: {shown[-300:]!r}")
            hosting.no_bug(bench, shown, str(words))


def _terminal(bench: Bench) -> None:
    place = bench.place
    _prepare(place)
    with hosting.workers(bench):
        wait_for(lambda: not place.names("pending") + place.names("processing"), 60)
        bench.check(not place.names("pending"), f"left: {place.names('pending')}")
        _show(bench, _VERBS)
        for words in [w for w in _VERBS if w[0] not in ("logs", "run")][:: 1 if bench.long else 3]:
            done = place.spoolq(*words, check=False)
            bench.count("verbs in a pipe")
            bench.check(not raw(done.stdout + done.stderr), f"{words} in a pipe is raw")
        _show(bench, _LAST)
    bench.check(not raw(place.said()), f"a worker's log is raw: {raw(place.said())}")


def _worse(bench: Bench) -> None:
    """A control: an escape that escapes nothing."""
    bench.place = bench.place.spoiled(
        "from spoolq import text\ntext.printable = lambda text: text\n"
    )
    _prepare(bench.place)
    with hosting.workers(bench):
        place = bench.place
        wait_for(lambda: not place.names("pending") + place.names("processing"), 60)
        _show(bench, (("list",), ("show", "evil")))


CASES = [
    Case("control characters on a terminal", _terminal),
    Case("an escape that escapes nothing", _worse, expects=r"shows \[.*'\\x1b'"),
]
