"""Who may write by an access control list, and by the mode of a file that others can reach."""

import os
import shlex
import struct

import pytest

from spoolq import platform, rights, trust
from spoolq.adoption import read_job
from spoolq.config import Settings
from spoolq.errors import InvalidJob, UnsafeSpool
from spoolq.spool import SpoolDir

pytestmark = pytest.mark.skipif(not hasattr(os, "setxattr"), reason="lists are seen on Linux alone")

USER_OBJ, USER, GROUP_OBJ, GROUP, MASK, OTHER = 1, 2, 4, 8, 16, 32
STRANGER = 54321
NOBODY = 0xFFFFFFFF


def give(path, *entries, mask=7, kind="access", others=0):
    """Set a list of a path: the named entries, beside an owner with all and a group with none."""
    rows = [(USER_OBJ, 7, NOBODY)]
    rows += [entry for entry in entries if entry[0] == USER]
    rows += [(GROUP_OBJ, 0, NOBODY)]
    rows += [entry for entry in entries if entry[0] == GROUP]
    rows += [(MASK, mask, NOBODY), (OTHER, others, NOBODY)]
    data = struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *row) for row in rows)
    try:
        os.setxattr(str(path), f"system.posix_acl_{kind}", data)
    except OSError as error:
        pytest.skip(f"no access control lists here: {error.strerror}")


@pytest.fixture
def spool(tmp_path, monkeypatch):
    """A spool of a user whose group has nobody else in it."""
    monkeypatch.setattr(rights, "_is_private_group", lambda gid, uid: gid == os.getgid())
    made = SpoolDir.create(str(tmp_path / "spool"))
    yield made
    made.close()


def refusals(spool, group=None):
    try:
        trust.require_safe(spool.path, ("pending",), group)
    except UnsafeSpool as error:
        return str(error), error.hint
    return None


def test_a_list_that_lets_others_write_is_refused_behind_a_mode_that_looks_harmless(spool):
    pending = os.path.join(spool.path, "pending")
    give(pending, (USER, 6, STRANGER))
    assert os.stat(pending).st_mode & 0o777 == 0o770
    said, hint = refusals(spool)
    assert f"{pending} can be written by others" in said
    assert hint == f"setfacl -b {shlex.quote(pending)}"


@pytest.mark.parametrize(
    "entry",
    [(USER, 2, STRANGER), (GROUP, 3, STRANGER), (USER, 7, STRANGER)],
)
def test_each_that_is_named_counts(spool, entry):
    give(spool.path, entry)
    assert refusals(spool) is not None


@pytest.mark.parametrize(
    ("entry", "mask"),
    [
        ((USER, 5, STRANGER), 7),
        ((USER, 7, STRANGER), 5),
        ((USER, 7, 0), 7),
        ((USER, 7, os.getuid()), 7),
        ((GROUP, 7, os.getgid()), 7),
    ],
)
def test_a_list_that_lets_nobody_else_write_is_none_to_fear(spool, entry, mask):
    give(spool.path, entry, mask=mask)
    assert refusals(spool) is None


def test_the_group_of_the_spool_may_stand_in_a_list(spool, monkeypatch):
    give(spool.path, (GROUP, 7, STRANGER))
    monkeypatch.setattr(platform, "group_id", lambda name: STRANGER)
    assert refusals(spool, "batch") is None
    assert refusals(spool) is not None


def test_a_default_list_counts_where_others_may_enter(spool):
    pending = os.path.join(spool.path, "pending")
    give(pending, (USER, 7, STRANGER), kind="default")
    assert refusals(spool) is None
    give(pending, (USER, 5, STRANGER))
    said, hint = refusals(spool)
    assert "default access control list" in said
    assert hint == f"setfacl -k {shlex.quote(pending)}"


def test_what_is_no_list_that_is_known_is_not_trusted(spool, monkeypatch):
    give(spool.path, (USER, 5, STRANGER))
    monkeypatch.setattr(rights.os, "getxattr", lambda *all: b"\3\0\0\0")
    os.chmod(spool.path, 0o770)
    assert refusals(spool) is not None


@pytest.fixture
def drop(spool):
    path = os.path.join(spool.path, "pending", "job.json")
    with open(path, "w", encoding="ascii") as file:
        file.write('{"command": "true"}')
    return path


def read(spool):
    return read_job(spool.dir("pending"), "job.json", Settings())[0].command


def test_a_file_that_everybody_may_write_runs_where_nobody_can_reach_it(spool, drop):
    os.chmod(drop, 0o666)
    assert read(spool) == "true"


def test_a_file_that_others_can_reach_and_write_does_not_run(spool, drop):
    os.chmod(os.path.dirname(drop), 0o755)
    assert read(spool) == "true"
    os.chmod(drop, 0o666)
    with pytest.raises(InvalidJob, match="written by others"):
        read(spool)


def test_a_file_whose_list_lets_others_write_does_not_run(spool, drop):
    give(os.path.dirname(drop), (USER, 1, STRANGER))
    assert read(spool) == "true"
    give(drop, (USER, 6, STRANGER))
    with pytest.raises(InvalidJob, match="written by others"):
        read(spool)
    give(drop, (USER, 6, STRANGER), mask=4)
    assert read(spool) == "true"
