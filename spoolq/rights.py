"""Who may do what with a path: modes, private groups and access control lists."""

from __future__ import annotations

import os
import stat
import struct
from typing import Optional, Union

from spoolq import platform

#: What a path may be used for: the bits of a mode, as they stand for everybody.
WRITE, ENTER = stat.S_IWOTH, stat.S_IXOTH

_ACL_VERSION = 2
_ACL_USER, _ACL_GROUP, _ACL_MASK = 0x02, 0x08, 0x10


def may_others(
    right: int, info: os.stat_result, group: Optional[int], place: Union[str, int, None] = None
) -> bool:
    """Say whether anyone but its owner and root may WRITE or ENTER what has this stat.

    The owner's private group (nobody else in it, by the rule of Debian's sshd) does not count,
    nor does `group`, the one that was named when the spool was made. Of a `place`, a path or a
    descriptor, the access control list counts as well, whose mask the mode's group bits are.
    """
    if platform.WINDOWS:
        return False
    if info.st_mode & right:
        return True
    if not info.st_mode & (right << 3):
        return False
    if info.st_gid != group and not _is_private_group(info.st_gid, info.st_uid):
        return True
    return place is not None and acl_lets_others(right, info, group, place)


def may_others_write(
    info: os.stat_result, group: Optional[int], place: Union[str, int, None] = None
) -> bool:
    """Say whether anyone but its owner and root may write what has this stat; see `may_others`."""
    return may_others(WRITE, info, group, place)


def acl_lets_others(
    right: int,
    info: os.stat_result,
    group: Optional[int],
    place: Union[str, int],
    *,
    inherited: bool = False,
) -> bool:
    """Say whether an access control list gives this right to somebody whom it names.

    Args:
        inherited: look at the list that what is made in the directory `place` will have.

    Source: acl(5), and linux/posix_acl_xattr.h for the form; other systems' lists are not seen.
    """
    reader = getattr(os, "getxattr", None)
    if reader is None:
        return False
    try:
        data = reader(place, f"system.posix_acl_{'default' if inherited else 'access'}")
    except OSError:
        return False  # there is none, or the filesystem knows none
    if len(data) % 8 != 4 or struct.unpack_from("<I", data)[0] != _ACL_VERSION:
        return True  # whatever it is, it is not known to be harmless
    entries = list(struct.iter_unpack("<HHI", data[4:]))
    mask = next((rights for tag, rights, _ in entries if tag == _ACL_MASK), 0o7)
    granted = [(tag, number) for tag, rights, number in entries if rights & mask & right]
    return any(
        (tag == _ACL_USER and number not in (0, info.st_uid))
        or (tag == _ACL_GROUP and number != group and not _is_private_group(number, info.st_uid))
        for tag, number in granted
    )


def _is_private_group(gid: int, uid: int) -> bool:
    if platform.WINDOWS:
        return False
    import grp
    import pwd

    try:
        named = grp.getgrgid(gid).gr_mem
        owner = pwd.getpwuid(uid).pw_name
    except KeyError:
        return False
    primary = [user.pw_uid for user in pwd.getpwall() if user.pw_gid == gid]
    members = set(named) | {owner for user in primary if user == uid}
    return members == {owner} and all(user == uid for user in primary)
