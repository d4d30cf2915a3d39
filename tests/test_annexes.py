"""Directories that a spool has only once something needs them may come, go, and come again."""

import os
import shutil

import pytest

from spoolq import annexes
from spoolq.api import Spool
from spoolq.errors import StorageFailed


def test_none_is_made_by_a_look(spool):
    assert annexes.opened(spool, "keys") is None
    assert not os.path.exists(os.path.join(spool.path, "keys"))


def test_one_is_made_once_for_its_owner_alone(spool):
    assert annexes.made(spool, "keys") is annexes.made(spool, "keys")
    assert os.stat(os.path.join(spool.path, "keys")).st_mode & 0o7777 == 0o700


@pytest.mark.parametrize("again", [False, True])
def test_one_that_is_removed_is_missed_by_nobody(spool, again):
    annexes.made(spool, "keys")
    shutil.rmtree(os.path.join(spool.path, "keys"))
    if again:
        os.mkdir(os.path.join(spool.path, "keys"))
    assert spool.reopen_replaced() == (["keys"] if again else [])
    assert (annexes.opened(spool, "keys") is not None) == again
    with Spool(spool.path) as api:
        job_id = api.enqueue("true", key="k")
    with open(os.path.join(spool.path, "keys", "k"), encoding="ascii") as file:
        assert file.read() == f"{job_id}\n"


def test_what_is_no_directory_is_told_of(spool):
    spool.root.write("keys", b"", sync=False)
    with pytest.raises(StorageFailed):
        annexes.opened(spool, "keys")
