"""Who may write where commands come from: a spool is a crontab.

Whoever can put a file into a spool runs commands as its worker, so a worker refuses a spool that
others may write to, by the rule that sshd applies to its files (StrictModes).
"""

from __future__ import annotations

import os
import shlex
import stat
from typing import Iterator, Optional, Sequence, Tuple

from spoolq import platform, rights
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
        if rights.may_others_write(info, named, place):
            yield place, _open_to_others(place, info, named)
        elif _bequeaths_writing(place, info, named):
            yield place, _bequeathing(place)
    for place in _above(real):
        info = os.lstat(place)
        if info.st_uid not in (0, user):
            yield place, _of_a_stranger(place, info, user)
        if not info.st_mode & stat.S_ISVTX and rights.may_others_write(info, None, place):
            yield place, _open_to_others(place, info, None)


def trusts(info: os.stat_result, group: Optional[str]) -> bool:
    """Say whether a file in a safe spool comes from somebody who may run commands there."""
    return platform.WINDOWS or bool(group) or info.st_uid in (0, platform.effective_user())


def may_be_changed(
    file: int, info: os.stat_result, directory: int, around: os.stat_result, group: Optional[str]
) -> bool:
    """Say whether others, who may run nothing here, could change a file in a directory.

    The mode of a file that nobody else can reach says nothing, and the directory's own group has
    been found to be the one that was named.
    """
    if platform.WINDOWS or not around.st_mode & 0o011:
        return False
    named = around.st_gid if group else None
    return rights.may_others(rights.ENTER, around, named, directory) and (
        rights.may_others(rights.WRITE, info, named, file)
    )


def _bequeaths_writing(place: str, info: os.stat_result, group: Optional[int]) -> bool:
    """Say whether what is made in a directory could be written by others who can enter it."""
    return rights.may_others(rights.ENTER, info, group, place) and (
        rights.acl_lets_others(rights.WRITE, info, group, place, inherited=True)
    )


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


def _bequeathing(path: str) -> UnsafeSpool:
    return UnsafeSpool(
        f"what is made in {path} can be written by others, whom its default access control list "
        "names and who could put commands there",
        hint=f"setfacl -k {shlex.quote(path)}",
    )


def _open_to_others(path: str, info: os.stat_result, group: Optional[int]) -> UnsafeSpool:
    if not rights.may_others_write(info, group):  # by its mode alone
        return UnsafeSpool(
            f"{path} can be written by others, whom its access control list names and who could "
            "put commands here",
            hint=f"setfacl -b {shlex.quote(path)}",
        )
    who = "everybody" if info.st_mode & stat.S_IWOTH else f"group {info.st_gid}"
    bits = "go-w" if info.st_mode & stat.S_IWOTH else "g-w"
    return UnsafeSpool(
        f"{path} can be written by {who}, who could put commands here",
        hint=f"chmod {bits} {shlex.quote(path)}",
    )
