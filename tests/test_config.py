"""Settings: what may be set, what a bad file does, and which spool is the default."""

import errno
import grp
import os

import pytest

from spoolq import config, platform
from spoolq.config import KEYS, LiveSettings, Settings
from spoolq.errors import InvalidSetting, WrongFormat
from spoolq.job import Job


def test_without_a_file_the_defaults_are_in_force():
    assert config.read(None) == (Settings(), [])


def test_every_key_is_a_setting_with_a_default_that_it_can_take():
    assert set(KEYS) == set(Settings._fields)
    for key in KEYS:
        value = config.default(key)
        assert config.check(key, list(value) if isinstance(value, tuple) else value) == value
        assert KEYS[key].meaning


def test_what_is_written_is_read_again():
    data = config.write({"max_retries": 5, "timeout": 2.5, "capture_env": ["PATH"]})
    settings, warnings = config.read(data)
    assert (settings.max_retries, settings.timeout) == (5, 2.5)
    assert settings.capture_env == ("PATH",)
    assert warnings == []


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("max_retries", True),
        ("max_retries", "3"),
        ("max_retries", 1.5),
        ("max_retries", -1),
        ("max_retries", None),
        ("backoff_base", -1),
        ("backoff_max", float("nan")),
        ("backoff_jitter", 11),
        ("timeout", 0),
        ("timeout", False),
        ("durability", "some"),
        ("durability", None),
        ("durability", ["full"]),
        ("sync_claims", 1),
        ("grace", -1),
        ("lease", 1),
        ("settle", "2"),
        ("orphans", "kill"),
        ("shell", ""),
        ("shell", "/bin/sh\0"),
        ("shell", None),
        ("capture_env", "PATH"),
        ("capture_env", ["A=B"]),
        ("capture_env", [""]),
        ("capture_env", [3]),
        ("group", "no such group, surely"),
        ("group", 3),
        ("group", "\0"),
        ("group", ["adm"]),
        ("limits", ["gpu"]),
        ("limits", {"gpu": "1"}),
        ("limits", {"gpu": 257}),
        ("limits", {"a/b": 1}),
    ],
)
def test_a_value_that_a_key_cannot_take_is_refused_by_its_name(key, value):
    with pytest.raises(InvalidSetting, match=f"^{key} must"):
        config.check(key, value)


def test_the_name_of_a_group_is_a_group_of_this_system():
    name = grp.getgrgid(os.getgid()).gr_name
    assert config.check("group", name) == name


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"[]",
        b'{"max_retries": 3, "max_retries": 4}',
        b'{"timeout": NaN}',
        b'{"max_retries": true}',
        pytest.param(b" " * (config.MAX_FILE + 1), id="too large"),
    ],
)
def test_a_file_that_breaks_a_rule_is_refused(data):
    with pytest.raises(InvalidSetting):
        config.read(data)


@pytest.mark.parametrize("value", ["2", '"1"', "true"])
def test_a_spool_of_another_format_is_left_alone(value):
    with pytest.raises(WrongFormat, match="has format") as caught:
        config.read(b'{"format": %s}' % value.encode())
    assert "update" in caught.value.hint


def test_an_unknown_key_is_warned_of_with_what_it_may_have_meant():
    settings, warnings = config.read(b'{"max_retrys": 5, "grace": 1}')
    assert settings == Settings(grace=1)
    assert len(warnings) == 1
    assert "'max_retrys'" in warnings[0]
    assert "'max_retries'" in warnings[0]


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("max_retries", "5", 5),
        ("timeout", "none", None),
        ("timeout", "null", None),
        ("timeout", "2.5", 2.5),
        ("sync_claims", "true", True),
        ("durability", "accept", "accept"),
        ("shell", "/bin/bash", "/bin/bash"),
        ("shell", "7", "7"),
        ("capture_env", "PATH, LANG HOME", ["PATH", "LANG", "HOME"]),
        ("capture_env", "", []),
        ("limits", '{"gpu": 1}', {"gpu": 1}),
    ],
)
def test_a_value_is_read_as_a_person_types_it(key, text, value):
    assert config.from_text(key, text) == value


@pytest.mark.parametrize(("key", "text"), [("max_retries", "many"), ("sync_claims", "yes")])
def test_a_typed_value_that_the_key_cannot_take_is_refused(key, text):
    with pytest.raises(InvalidSetting):
        config.from_text(key, text)


def test_a_key_may_be_typed_with_hyphens():
    assert config.known("Max-Retries") == "max_retries"
    with pytest.raises(InvalidSetting, match="did you mean 'max_retries'"):
        config.known("max-retrys")


def test_a_job_may_have_its_own_policy_and_timeout():
    settings = Settings(max_retries=3, backoff_base=2, timeout=60, backoff_jitter=0.5)
    plain = Job({"command": "true"})
    fields = {"max_retries": 0, "backoff_base": 0.5, "timeout": 1, "dead_on": [1], "retry_on": [2]}
    own = Job({"command": "true", **fields})
    assert settings.policy(plain) == (3, 2, 86_400, 0.5, None, None)
    assert settings.policy(own) == (0, 0.5, 86_400, 0.5, [1], [2])
    assert (settings.timeout_of(plain), settings.timeout_of(own)) == (60, 1)


class TestLiveSettings:
    """The settings of a running worker are never made worse by a file."""

    def make(self, data):
        self.data = data
        return LiveSettings(lambda: self.data)

    def test_a_change_of_the_file_is_in_force_after_refresh(self):
        live = self.make(None)
        self.data = b'{"grace": 1}'
        assert live.current.grace == 5
        assert live.refresh() == []
        assert live.current.grace == 1
        self.data = None
        live.refresh()
        assert live.current.grace == 5

    def test_a_bad_file_leaves_the_last_good_settings_in_force_and_warns_once(self):
        live = self.make(b'{"grace": 1}')
        for bad in (b"{", b'{"grace": true}', b'{"format": 2}'):
            self.data = bad
            warnings = live.refresh()
            assert len(warnings) == 1
            assert "the last good settings stay in force" in warnings[0]
            assert live.refresh() == []
            assert live.current.grace == 1
        self.data = b'{"grace": 2}'
        assert live.refresh() == []
        assert live.current.grace == 2

    def test_an_unknown_key_is_warned_of_once(self):
        live = self.make(b'{"grase": 1}')
        assert len(live.refresh()) == 1
        assert live.refresh() == []

    def test_a_worker_does_not_begin_with_a_bad_file(self):
        with pytest.raises(InvalidSetting):
            self.make(b"{")


class TestDefaultSpool:
    """Which spool is meant where none is named."""

    def test_the_environment_names_it(self, tmp_path):
        assert config.default_spool(str(tmp_path), {"SPOOLQ_SPOOL": "/srv/q"}) == "/srv/q"

    def local(self, tmp_path):
        (tmp_path / "spool").mkdir()
        (tmp_path / "spool" / "config.json").write_text("{}")
        return str(tmp_path / "spool")

    def test_a_spool_here_that_this_user_made_is_it(self, tmp_path):
        here = self.local(tmp_path)
        assert config.default_spool(str(tmp_path), {}) == here

    def test_a_directory_called_spool_that_is_none_is_not_it(self, tmp_path):
        (tmp_path / "spool").mkdir()
        state = {"XDG_STATE_HOME": "/state"}
        assert config.default_spool(str(tmp_path), state) == "/state/spoolq"

    def test_a_spool_here_that_somebody_else_made_is_not_it(self, tmp_path, monkeypatch):
        self.local(tmp_path)
        monkeypatch.setattr(platform, "effective_user", lambda: os.getuid() + 1)
        state = {"XDG_STATE_HOME": "/state"}
        assert config.default_spool(str(tmp_path), state) == "/state/spoolq"

    def test_a_spool_here_whose_disk_fails_is_it(self, tmp_path, monkeypatch):
        """Another spool would take the jobs in silence."""
        here = self.local(tmp_path)

        def lstat(path):
            raise OSError(errno.EIO, "Input/output error", path)

        with monkeypatch.context() as patch:
            patch.setattr(os, "lstat", lstat)
            assert config.default_spool(str(tmp_path), {"XDG_STATE_HOME": "/state"}) == here

    def test_under_sudo_the_spool_of_the_caller_is_it(self, tmp_path, monkeypatch):
        here = self.local(tmp_path)
        monkeypatch.setattr(platform, "effective_user", lambda: 0)
        owner = os.stat(here).st_uid
        assert config.default_spool(str(tmp_path), {"SUDO_UID": str(owner)}) == here

    def test_sudo_uid_means_nothing_to_an_ordinary_user(self, tmp_path, monkeypatch):
        here = self.local(tmp_path)
        owner = os.stat(here).st_uid
        monkeypatch.setattr(platform, "effective_user", lambda: owner + 1)
        state = {"XDG_STATE_HOME": "/state", "SUDO_UID": str(owner)}
        assert config.default_spool(str(tmp_path), state) == "/state/spoolq"

    def test_else_it_is_the_users_own(self, tmp_path, monkeypatch):
        monkeypatch.setenv("HOME", "/home/me")
        assert config.default_spool(str(tmp_path), {}) == "/home/me/.local/state/spoolq"


def test_only_the_captured_variables_are_kept_with_a_job():
    there = {"PATH": "/bin", "LANG": "C", "AWS_SECRET": "s3cret"}
    assert config.captured_environment(Settings(), there) == {"PATH": "/bin", "LANG": "C"}
    assert config.captured_environment(Settings(capture_env=()), there) == {}
