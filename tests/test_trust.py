"""Who may write where commands come from."""

import os
import shlex

import pytest

from spoolq import platform, rights, trust
from spoolq.errors import UnsafeSpool
from spoolq.layout import DIRECTORIES
from tests.users import NUMBER, ROOT, home, run_as  # noqa: F401

pytestmark = pytest.mark.skipif(platform.WINDOWS, reason="it is about POSIX modes")


@pytest.fixture
def place(tmp_path):
    """A spool in a directory in a directory, all this user's own."""
    made = tmp_path / "above it" / "spool"
    made.mkdir(parents=True)
    for name in DIRECTORIES:
        (made / name).mkdir(mode=0o700)
    for directory in (made, made.parent):
        directory.chmod(0o700)
    return made


def require_safe(place, group=None):
    trust.require_safe(str(place), DIRECTORIES, group)


def refusal(place, group=None):
    with pytest.raises(UnsafeSpool) as caught:
        require_safe(place, group)
    return caught.value


def test_a_spool_of_ones_own_is_safe(place):
    require_safe(place)


@pytest.mark.parametrize("name", [".", "pending", "tmp", "workers", ".."])
def test_what_everybody_may_write_is_refused_with_the_chmod_that_mends_it(place, name):
    path = (place / name).resolve()
    path.chmod(0o707)
    error = refusal(place)
    assert f"{path} can be written by everybody" in str(error)
    assert error.hint == f"chmod go-w {shlex.quote(str(path))}"
    assert os.system(error.hint) == 0
    require_safe(place)


@pytest.mark.parametrize("name", [".", "dead", ".."])
def test_what_a_group_may_write_is_refused_unless_it_is_the_owners_own(place, name, monkeypatch):
    path = (place / name).resolve()
    path.chmod(0o770)
    monkeypatch.setattr(rights, "_is_private_group", lambda gid, uid: False)
    error = refusal(place)
    assert f"{path} can be written by group" in str(error)
    assert error.hint == f"chmod g-w {shlex.quote(str(path))}"
    monkeypatch.setattr(rights, "_is_private_group", lambda gid, uid: True)
    require_safe(place)


def test_a_sticky_directory_above_may_be_written_by_everybody(place):
    place.parent.chmod(0o1777)
    require_safe(place)


@pytest.mark.parametrize("name", [".", "pending"])
def test_stickiness_does_not_help_in_the_spool_itself(place, name):
    (place / name).chmod(0o1777)
    refusal(place)


def test_a_link_is_followed_to_where_the_spool_is(place, tmp_path):
    (tmp_path / "link").symlink_to(place)
    require_safe(tmp_path / "link")
    place.parent.chmod(0o777)
    assert str(place.parent) in str(refusal(tmp_path / "link"))


def test_a_link_that_led_elsewhere_when_the_spool_was_opened_is_refused(place, tmp_path):
    """Else who owns the link shows a safe spool to the check and has another one worked on."""
    (tmp_path / "trap").mkdir()
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "trap")
    held = os.stat(link)
    link.unlink()
    link.symlink_to(place)
    with pytest.raises(UnsafeSpool, match="led somewhere else when it was opened"):
        trust.require_safe(str(link), DIRECTORIES, None, held)
    trust.require_safe(str(link), DIRECTORIES, None, os.stat(place))


def test_the_named_group_may_write_in_the_spool_and_not_above_it(place, monkeypatch):
    monkeypatch.setattr(rights, "_is_private_group", lambda gid, uid: False)
    monkeypatch.setattr(platform, "group_id", lambda name: place.stat().st_gid)
    for name in (".", "pending"):
        (place / name).chmod(0o2770)
    require_safe(place, "batch")
    refusal(place)
    place.parent.chmod(0o770)
    assert str(place.parent) in str(refusal(place, "batch"))


def test_another_group_than_the_named_one_is_refused(place, monkeypatch):
    monkeypatch.setattr(rights, "_is_private_group", lambda gid, uid: False)
    monkeypatch.setattr(platform, "group_id", lambda name: place.stat().st_gid + 1)
    (place / "pending").chmod(0o770)
    refusal(place, "batch")


@pytest.mark.parametrize("name", [".", "pending"])
def test_a_spool_of_somebody_else_is_refused(place, name, monkeypatch):
    owner = place.stat().st_uid
    monkeypatch.setattr(platform, "effective_user", lambda: owner + 1)
    if owner == 0:
        require_safe(place)  # root could put commands anywhere as it is
        os.chown(place / name, 4, 4)
    assert "who could put commands here" in str(refusal(place))


@ROOT
@pytest.mark.parametrize("name", [".", "pending", ".."])
def test_root_runs_nothing_of_another_user(place, name):
    path = (place / name).resolve()
    os.chown(path, NUMBER, NUMBER)
    error = refusal(place)
    assert f"{path} belongs to user {NUMBER}" in str(error)
    assert f"chown 0 {shlex.quote(str(path))}" in error.hint


@ROOT
def test_a_user_does_not_trust_another_user(home):  # noqa: F811
    above = home(NUMBER + 1, NUMBER + 1, 0o755)
    os.mkdir(os.path.join(above, "spool"))
    os.chown(os.path.join(above, "spool"), NUMBER, NUMBER)

    def work():
        try:
            trust.require_safe(os.path.join(above, "spool"), (), None)
        except UnsafeSpool as error:
            return str(error)

    assert f"{above} belongs to user {NUMBER + 1}" in run_as(work, NUMBER, NUMBER)


def test_on_windows_modes_say_nothing(place, monkeypatch):
    (place / "pending").chmod(0o777)
    monkeypatch.setattr(platform, "WINDOWS", True)
    require_safe(place)


def test_files_of_root_and_of_this_user_are_trusted(place, monkeypatch):
    info = place.stat()
    assert trust.trusts(info, None)
    monkeypatch.setattr(platform, "effective_user", lambda: info.st_uid + 1)
    assert trust.trusts(info, None) == (info.st_uid == 0)
    assert trust.trusts(info, "batch")


@ROOT
def test_a_file_of_another_user_is_not_trusted_unless_a_group_may_submit(place):
    os.chown(place / "pending", NUMBER, NUMBER)
    info = (place / "pending").stat()
    assert not trust.trusts(info, None)
    assert trust.trusts(info, "batch")
