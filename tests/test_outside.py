"""Files outside a spool are the old ones or the new ones."""

import os
import stat

import pytest

from spoolq import fsio, platform
from spoolq.outside import replace_file


def test_it_is_new_with_the_mode_that_is_wanted(tmp_path):
    path = tmp_path / "x"
    path.write_bytes(b"old")
    replace_file(str(path), b"new", 0o644)
    assert path.read_bytes() == b"new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert os.listdir(tmp_path) == ["x"]


def test_a_rename_that_fails_leaves_the_old_one_and_no_litter(tmp_path, monkeypatch):
    path = tmp_path / "x"
    path.write_bytes(b"old")

    def fail(*_, **__):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(fsio.os, "rename", fail)
    with pytest.raises(OSError, match="Input/output"):
        replace_file(str(path), b"new", 0o644)
    monkeypatch.undo()
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["x"]


@pytest.mark.skipif(platform.WINDOWS, reason="links need rights there")
def test_a_link_in_its_place_is_replaced_and_not_followed(tmp_path):
    (tmp_path / "target").write_bytes(b"mine")
    os.symlink("target", tmp_path / "x")
    replace_file(str(tmp_path / "x"), b"new", 0o644)
    assert (tmp_path / "target").read_bytes() == b"mine"
    assert not os.path.islink(tmp_path / "x")
