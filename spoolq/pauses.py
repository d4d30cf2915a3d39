"""Tags that are paused: their jobs wait, and all others go on.

    paused.night    present: no new claims of jobs with the tag "night"

The tag stands in the file's name as it is, but for / and % and what does not print, which are
written %2F; so `touch` pauses, `rm` resumes, and `ls paused.*` shows which.
"""

from __future__ import annotations

import re
from typing import Dict, FrozenSet, Iterable, List

from spoolq import tokens
from spoolq.config import Settings
from spoolq.layout import PAUSED, translated
from spoolq.spool import SpoolDir

_BEFORE = PAUSED + "."
_ODD = re.compile(r"[/%\x00-\x1f\x7f]")
_QUOTED = re.compile(r"%([0-9A-Fa-f]{2})")


def file_of(tag: str) -> str:
    """Return the name of the file whose presence pauses a tag."""
    return _BEFORE + _ODD.sub(lambda odd: f"%{ord(odd.group()):02X}", tag)


def is_pause(entry: str) -> bool:
    """Say whether an entry of the spool's directory pauses a tag."""
    return entry.startswith(_BEFORE) and len(entry) > len(_BEFORE)


def tags_of(entries: Iterable[str]) -> FrozenSet[str]:
    """Return the tags that are paused, by the entries of the spool's directory."""
    return frozenset(
        _QUOTED.sub(lambda quoted: chr(int(quoted.group(1), 16)), entry[len(_BEFORE) :])
        for entry in entries
        if is_pause(entry)
    )


def paused_tags(spool: SpoolDir) -> FrozenSet[str]:
    """Return the tags that are paused just now."""
    return tags_of(spool.root.scan())


def pause(spool: SpoolDir, tag: str) -> bool:
    """Let workers claim no more jobs with a tag; False if they did not already."""
    with translated(spool.path):
        if tag in paused_tags(spool):
            return False
        try:
            spool.root.write(file_of(tag), b"", sync=False)
        except FileExistsError:
            return False
    return True


def resume(spool: SpoolDir, tag: str) -> bool:
    """Let workers claim jobs with a tag again; False if they could already."""
    with translated(spool.path):
        found = [entry for entry in spool.root.list() if tag in tags_of([entry])]
        for entry in found:
            spool.root.discard(entry)
    spool.ring()
    return bool(found)


def limits_in_use(spool: SpoolDir, settings: Settings) -> Dict[str, Dict[str, int]]:
    """Return of each limit how much there is and how much of it is in use, as JSON has it."""
    if not settings.limits:
        return {}
    used = tokens.in_use(spool, settings.limits)
    return {name: {"used": used[name], "limit": most} for name, most in settings.limits.items()}


def standing(spool: SpoolDir, settings: Settings) -> List[str]:
    """Return, in words, which tags are paused and how much of the limits is in use, if any."""
    found = []
    tags = paused_tags(spool)
    if tags:
        found.append(f"paused tags: {', '.join(sorted(tags))}")
    in_use = limits_in_use(spool, settings)
    if in_use:
        each = (f"{name} {told['used']}/{told['limit']}" for name, told in in_use.items())
        found.append(f"limits: {', '.join(each)}")
    return found
