"""`systemd`: writing and removing units, and a worker that is run as they say."""

import getpass
import os
import re
import shlex
import subprocess
import time

import pytest

from spoolq import platform
from spoolq.cli import main
from tests.cli.test_notify import Manager
from tests.conftest import entries, environment, wait_until

pytestmark = pytest.mark.skipif(platform.WINDOWS, reason="there is no systemd on Windows")

NAMES = {
    "spoolq.service",
    "spoolq-drain.service",
    "spoolq-drain.path",
    "spoolq-drain.timer",
    "spoolq-purge.service",
    "spoolq-purge.timer",
}


@pytest.fixture
def where(tmp_path):
    return tmp_path / "etc" / "units"


def text_of(where, name="spoolq.service"):
    return (where / name).read_text(encoding="utf-8")


def test_units_are_written_and_what_to_type_next_is_said(spoolq, spool, where):
    done = spoolq("systemd", "install", "--to", str(where), "--count", "3")
    assert set(os.listdir(where)) == NAMES
    assert all((where / name).stat().st_mode & 0o777 == 0o644 for name in NAMES)
    assert f"--spool {spool.path} worker start --count 3" in text_of(where)
    assert f"User={getpass.getuser()}" in text_of(where)
    assert done.out == ""
    drain = "enable --now spoolq-drain.path spoolq-drain.timer"
    for line in ("daemon-reload", "enable --now spoolq.service", drain):
        assert f"  systemctl {line}" in done.err
    assert "linger" not in done.err


def test_units_of_a_user_go_to_the_users_own_directory(spoolq, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    done = spoolq("systemd", "install", "--user")
    assert set(os.listdir(tmp_path / "config" / "systemd" / "user")) == NAMES
    assert "systemctl --user enable" in done.err
    assert "loginctl enable-linger" in done.err


def test_printed_units_are_data_and_nothing_is_written(spoolq, where):
    done = spoolq("systemd", "install", "--to", str(where), "--print")
    assert done.err == ""
    assert not where.exists()
    assert set(re.findall(r"^# .*/(\S+)$", done.out, re.MULTILINE)) == NAMES
    spoolq("systemd", "install", "--to", str(where))
    assert all(text_of(where, name) in done.out for name in NAMES)


def test_a_unit_as_it_was_written_is_written_anew(spoolq, where):
    spoolq("systemd", "install", "--to", str(where))
    assert "spoolq.service, as it was" in spoolq("systemd", "install", "--to", str(where)).err
    spoolq("systemd", "install", "--to", str(where), "--count", "9")
    assert "--count 9" in text_of(where)


@pytest.mark.parametrize("verb", ["install", "remove"])
def test_a_unit_that_was_changed_by_hand_is_left_alone_with_all_others(spoolq, where, verb):
    spoolq("systemd", "install", "--to", str(where))
    changed = where / "spoolq-drain.timer"
    changed.write_text(text_of(where, changed.name).replace("minutely", "hourly"), encoding="utf-8")
    before = {name: text_of(where, name) for name in NAMES}
    more = ["--count", "9"] if verb == "install" else []
    done = spoolq("systemd", verb, "--to", str(where), *more, code=1)
    assert "changed by hand, or not from here: spoolq-drain.timer; nothing was done" in done.err
    assert f"  file  {changed}" in done.err
    assert "--force" in done.err
    assert {name: text_of(where, name) for name in NAMES} == before
    spoolq("systemd", verb, "--to", str(where), *more, "--force")
    assert set(os.listdir(where)) == (NAMES if verb == "install" else set())


@pytest.mark.parametrize("verb", ["install", "remove"])
def test_what_is_no_file_in_the_place_of_a_unit_is_left_alone(spoolq, where, verb):
    where.mkdir(parents=True)
    os.mkfifo(where / "spoolq.service")
    done = spoolq("systemd", verb, "--to", str(where), code=1)
    assert "not from here: spoolq.service; nothing was done" in done.err
    assert os.listdir(where) == ["spoolq.service"]


@pytest.mark.parametrize("verb", ["install", "remove"])
def test_units_of_another_spool_are_left_alone(spoolq, spool, where, tmp_path, verb):
    other = str(tmp_path / "a b" / "50% $HOME")
    spoolq("init", other)
    spoolq("systemd", "install", "--to", str(where), "--spool", other)
    before = {name: text_of(where, name) for name in NAMES}
    done = spoolq("systemd", verb, "--to", str(where), code=1)
    assert "the units here are for the spool" in done.err
    assert "--name NAME" in done.err
    assert {name: text_of(where, name) for name in NAMES} == before
    spoolq("systemd", verb, "--to", str(where), "--force")
    assert set(os.listdir(where)) == (NAMES if verb == "install" else set())


def test_units_are_removed_and_nothing_else_is(spoolq, where):
    spoolq("systemd", "install", "--to", str(where))
    spoolq("systemd", "install", "--to", str(where), "--name", "mail")
    done = spoolq("systemd", "remove", "--to", str(where))
    assert {name.split("-")[1].split(".")[0] for name in os.listdir(where)} == {"mail"}
    assert "next:  systemctl daemon-reload" in done.err
    assert "there are no units" in spoolq("systemd", "remove", "--to", str(where)).err


def test_units_that_are_enabled_are_not_removed(spoolq, where):
    spoolq("systemd", "install", "--to", str(where))
    (where / "timers.target.wants").mkdir()
    os.symlink(where / "spoolq-purge.timer", where / "timers.target.wants" / "spoolq-purge.timer")
    done = spoolq("systemd", "remove", "--to", str(where), code=1)
    assert "hint: first:  systemctl disable --now spoolq-purge.timer" in done.err
    assert set(os.listdir(where)) >= NAMES


@pytest.mark.parametrize("name", ["drain", "purge", "a b", "../x", "a/b", "é", "x.service"])
def test_a_name_that_would_lead_elsewhere_is_refused(spoolq, where, name):
    done = spoolq("systemd", "install", "--to", str(where), "--name", name, code=2)
    assert "no units can be called" in done.err
    assert not where.exists()


def test_who_may_not_write_there_is_told_how(spoolq, where, monkeypatch):
    def fail(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "makedirs", fail)  # root may
    done = spoolq("systemd", "install", "--to", str(where), code=1)
    assert f"Permission denied: {where}" in done.err
    assert "systemd install --user" in done.err


def test_wrong_durations_are_refused(spoolq, where):
    for option in ("--keep", "--stop-within"):
        spoolq("systemd", "install", "--to", str(where), option, "soon", code=2)
    assert not where.exists()


def test_the_grace_of_the_spool_is_in_the_time_for_a_stop(spoolq, where):
    spoolq("config", "set", "grace", "100")
    spoolq("systemd", "install", "--to", str(where), "--stop-within", "2m")
    assert "TimeoutStopSec=250\n" in text_of(where)


def test_hooks_have_their_time_when_the_worker_stops(spoolq, spool, where):
    spoolq("config", "set", "hook_timeout", "100")
    spool.root.make_dir("hooks")
    spoolq("systemd", "install", "--to", str(where), "--stop-within", "2m")
    assert "TimeoutStopSec=260\n" in text_of(where)  # 120 + 5 + 5 + 100 + 30


def test_a_worker_run_as_its_unit_says_is_ready_lives_and_stops_in_time(
    spoolq, spool, where, tmp_path
):
    """What systemd would see: readiness, more pings than its watchdog asks for, and a stop."""
    spoolq("config", "set", "grace", "0.5")
    spoolq("systemd", "install", "--to", str(where), "--stop-within", "1s", "--log-format", "json")
    unit = dict(line.split("=", 1) for line in text_of(where).splitlines() if "=" in line)
    assert unit["Type"] == "notify"
    manager = Manager(str(tmp_path / "notify"))
    spoolq("enqueue", "--id", "long", "trap '' TERM; sleep 600")
    words = shlex.split(unit["ExecStart"])
    told = {
        "NOTIFY_SOCKET": str(tmp_path / "notify"),
        "WATCHDOG_USEC": str(int(unit["WatchdogSec"]) * 1_000_000),
    }
    worker = subprocess.Popen(words, env=environment(**told), stderr=subprocess.PIPE)
    try:
        wait_until(lambda: manager.hear()[:1] == ["READY=1"], "readiness")
        wait_until(lambda: entries(spool, "processing"), "the job's run")
        from_here, before = time.monotonic(), manager.hear().count("WATCHDOG=1")
        wait_until(lambda: manager.hear().count("WATCHDOG=1") >= before + 3, "pings")
        assert (time.monotonic() - from_here) / 3 < int(unit["WatchdogSec"]) / 2
        from_here = time.monotonic()
        worker.terminate()  # KillMode=mixed: the worker alone
        worker.wait(int(unit["TimeoutStopSec"]))
        assert time.monotonic() - from_here > 1
    finally:
        worker.kill()
        _, said = worker.communicate()
        manager.hear()
        manager.socket.close()
    assert worker.returncode == 0, said
    assert manager.told[-1] == "STOPPING=1"
    (name,) = entries(spool, "pending")
    assert ".a0.long." in name  # the attempt is given back
    assert b'"action": "pending", "job": "long", "attempt": 1' in said


def test_removing_needs_no_spool(tmp_path, where, monkeypatch, capsys):
    assert main.run(["systemd", "remove", "--to", str(tmp_path)]) == 0
    assert "there are no units" in capsys.readouterr().err
