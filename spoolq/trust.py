"""Who may write where commands come from: a spool is a crontab.

Whoever can put a file into a spool runs commands as its worker, so a worker refuses a spool that
others may write to, by the rule that sshd applies to its files (StrictModes).
"""

from __future__ import annotations

import os
import shlex
import stat
from typing import Iterator, Optional, Sequence, Tuple

from spoolq import platform
from spoolq.errors import UnsafeSpool


def require_safe(
    path: str,
    inner: Sequence[str],
    group: Optional[str],
    held: Optional[os.stat_result] = None,
) -> None:
    """Refuse a spool in which somebody else could put commands.

    The spool, the directories `inner` in it and every directory above must belong to root or to
    this user and be writable to nobody else, save a sticky directory above, the owner's private
    group, or `group`, the one named when the spool was made. `held` is the directory that was
    opened, if one was.

    Raises:
        UnsafeSpool: with the path and the command that mends it.
    """
    real = os.path.realpath(path)
    for _, refusal in refusals(real, inner, group, platform.effective_user()):
        raise refusal
    # RACE: a link of somebody else may have led to another place when the spool was opened
    # (test_a_link_that_led_elsewhere_when_the_spool_was_opened_is_refused).
    if held is not None and not platform.WINDOWS and not os.path.samestat(os.lstat(real), held):
        raise UnsafeSpool(
            f"{path} led somewhere else when it was opened", hint=f"name the spool itself: {real}"
        )


def refusals(
    path: str, inner: Sequence[str], group: Optional[str], user: int
) -> Iterator[Tuple[str, UnsafeSpool]]:
    """Yield every place that a worker of `user` refuses, and how."""
    if platform.WINDOWS:
        return
    real = os.path.realpath(path)
    named = platform.group_id(group) if group else None
    for place in (real, *(os.path.join(real, name) for name in inner)):
        info = os.lstat(place)
        if info.st_uid not in (0, user):
            yield place, _of_a_stranger(place, info, user)
        if platform.may_others_write(info, named):
            yield place, _open_to_others(place, info)
    for place in _above(real):
        info = os.lstat(place)
        if info.st_uid not in (0, user):
            yield place, _of_a_stranger(place, info, user)
        if platform.may_others_write(info, None) and not info.st_mode & stat.S_ISVTX:
            yield place, _open_to_others(place, info)


def trusts(info: os.stat_result, group: Optional[str]) -> bool:
    """Say whether a file in a safe spool comes from somebody who may run commands there."""
    return platform.WINDOWS or bool(group) or info.st_uid in (0, platform.effective_user())


def _above(path: str) -> Iterator[str]:
    while path != os.path.dirname(path):
        path = os.path.dirname(path)
        yield path


def _of_a_stranger(path: str, info: os.stat_result, user: int) -> UnsafeSpool:
    return UnsafeSpool(
        f"{path} belongs to user {info.st_uid}, who could put commands here that would run "
        f"as user {user}",
        hint=f"run the worker as user {info.st_uid}, or: chown {user} {shlex.quote(path)}",
    )


def _open_to_others(path: str, info: os.stat_result) -> UnsafeSpool:
    who = "everybody" if info.st_mode & stat.S_IWOTH else f"group {info.st_gid}"
    bits = "go-w" if info.st_mode & stat.S_IWOTH else "g-w"
    return UnsafeSpool(
        f"{path} can be written by {who}, who could put commands here",
        hint=f"chmod {bits} {shlex.quote(path)}",
    )
