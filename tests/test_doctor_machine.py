"""What does not work on a machine, or cannot be looked at, is a finding and never a traceback."""

import time
from types import SimpleNamespace

import pytest

from spoolq import doctor, fsio, lease, locks, platform
from spoolq.doctor import crew, entries, machine
from spoolq.watcher import Watcher
from tests.test_doctor import _no_pause, clock, codes, doubled, orphan

__all__ = ["_no_pause", "clock"]  # fixtures of this module too


def refuse(*_, **__):
    raise OSError(5, "Input/output error")


TRIALS = {
    "locks": ("locks", locks, "try_lock", lambda *_, **__: True),
    "no locks": ("locks", locks, "try_lock", refuse),
    "rename, gone": ("rename", platform, "rename_noreplace", lambda *_: False),
    "rename, lying": ("rename", platform, "rename_noreplace", lambda *_: True),
    "sync": ("sync", fsio.Dir, "sync", refuse),
    "events": ("no-events", Watcher, "start", lambda self: None),
    "network": ("network-filesystem", platform, "network_filesystem", lambda path: "nfs4"),
    "clock": ("clock-skew", machine, "time", SimpleNamespace(time=lambda: time.time() - 60)),
    "space": ("low-space", machine, "FREE_BYTES", 1 << 80),
    "inodes": ("low-space", machine, "FREE_INODES", 1 << 80),
    "watches": ("inotify-limit", machine, "_limit", lambda key: 1),
    "trial": ("check-failed", fsio.Dir, "open_lock", refuse),
    "no room": ("check-failed", fsio.Dir, "make_dir", refuse),
}


@pytest.mark.parametrize("name", TRIALS)
def test_what_does_not_work_here_is_found_by_trying(spool, monkeypatch, name):
    code, where, attribute, broken = TRIALS[name]
    assert code not in codes(doctor.examine(spool.path))
    if name == "watches":
        monkeypatch.setattr(machine, "_in_use", lambda: (1, 1))
    monkeypatch.setattr(where, attribute, broken)
    assert code in codes(doctor.examine(spool.path))
    assert spool.dir("tmp").list() == []


def test_a_failing_check_is_a_finding_and_stops_no_other(spool, clock, monkeypatch):
    doubled(spool, clock)
    monkeypatch.setattr(lease, "probe", refuse)
    monkeypatch.setattr(entries, "files", refuse_lazily)
    report = doctor.examine(spool.path)
    assert {"check-failed", "doubled-id"} <= codes(report)


def refuse_lazily(*_):
    raise OSError(5, "Input/output error")
    yield


def test_a_claim_of_another_host_is_no_orphan_on_a_network_filesystem(spool, clock, monkeypatch):
    orphan(spool, clock)
    monkeypatch.setattr(crew.platform, "network_filesystem", lambda path: "nfs4")
    monkeypatch.setattr(crew.platform, "boot_id", lambda: "another")
    assert "orphan" not in codes(doctor.examine(spool.path))


def test_a_repair_that_fails_says_so(spool, clock, monkeypatch):
    orphan(spool, clock)
    monkeypatch.setattr(lease.Lease, "start", refuse)
    report = doctor.examine(spool.path, repair=True)
    assert {"orphan", "not-repaired"} <= codes(report)
    assert not any(finding.repaired for finding in report.findings)
