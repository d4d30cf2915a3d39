"""Modes and groups; access control lists are in faults/permissions/test_lists.py."""

import grp
import os
import pwd
import stat
import types

import pytest

from spoolq import platform, rights

if platform.WINDOWS:
    pytest.skip("no such users there", allow_module_level=True)


class TestMayOthersWrite:
    """sshd's rule, as Debian has it, on tables of users and groups."""

    ME, OTHER = 1000, 1001
    MINE, SHARED = 1000, 2000

    @pytest.fixture(autouse=True)
    def tables(self, monkeypatch):
        users = [
            types.SimpleNamespace(pw_name="root", pw_uid=0, pw_gid=0),
            types.SimpleNamespace(pw_name="me", pw_uid=self.ME, pw_gid=self.MINE),
            types.SimpleNamespace(pw_name="other", pw_uid=self.OTHER, pw_gid=self.OTHER),
        ]
        self.users = users
        self.members = {0: [], self.MINE: [], self.OTHER: [], self.SHARED: ["me", "other"]}
        monkeypatch.setattr(pwd, "getpwall", lambda: users)
        monkeypatch.setattr(pwd, "getpwuid", {user.pw_uid: user for user in users}.__getitem__)
        monkeypatch.setattr(
            grp, "getgrgid", lambda gid: types.SimpleNamespace(gr_mem=self.members[gid])
        )

    def ask(self, mode, uid=ME, gid=MINE, group=None):
        info = os.stat_result((stat.S_IFDIR | mode, 0, 0, 1, uid, gid, 0, 0, 0, 0))
        return rights.may_others_write(info, group)

    def test_what_only_the_owner_writes_is_the_owners(self):
        assert not self.ask(0o755)
        assert not self.ask(0o700, gid=self.SHARED)

    def test_everybody_is_others(self):
        assert self.ask(0o702)
        assert self.ask(0o707, group=self.MINE)

    def test_the_owners_private_group_is_the_owner(self):
        assert not self.ask(0o775)
        self.members[self.MINE] = ["me"]
        assert not self.ask(0o775)

    def test_a_private_group_with_a_second_member_is_private_no_more(self):
        self.members[self.MINE] = ["me", "other"]
        assert self.ask(0o775)
        self.members[self.MINE] = ["other"]
        assert self.ask(0o775)

    def test_a_group_that_is_another_users_first_is_not_private(self):
        self.users[2].pw_gid = self.MINE
        assert self.ask(0o775)

    def test_a_shared_group_is_others_unless_it_is_the_named_one(self):
        assert self.ask(0o775, gid=self.SHARED)
        assert not self.ask(0o775, gid=self.SHARED, group=self.SHARED)
        assert self.ask(0o775, gid=self.SHARED, group=self.MINE)

    def test_the_private_group_of_another_user_is_others(self):
        assert self.ask(0o775, gid=self.OTHER)

    def test_a_group_or_a_user_that_no_table_knows_is_others(self):
        assert self.ask(0o775, gid=4711)
        assert self.ask(0o775, uid=4711)

    def test_root_and_its_group_are_alone_with_each_other(self):
        assert not self.ask(0o775, uid=0, gid=0)
        self.users.append(types.SimpleNamespace(pw_name="toor", pw_uid=0, pw_gid=0))
        assert not self.ask(0o775, uid=0, gid=0)

    def test_windows_has_no_such_modes(self, monkeypatch):
        monkeypatch.setattr(platform, "WINDOWS", True)
        assert not self.ask(0o777)
        assert not rights._is_private_group(self.MINE, self.ME)
