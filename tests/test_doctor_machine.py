"""What does not work on a machine, or cannot be looked at, is a finding and never a traceback."""

import json
import os
import shutil
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest

from spoolq import doctor, fsio, lease, locks, neighbours, platform
from spoolq.doctor import entries, machine
from spoolq.heartbeat import Heartbeat
from spoolq.layout import DIRECTORIES
from spoolq.watcher import Watcher
from tests import given
from tests.conftest import environment
from tests.hosts import elsewhere
from tests.test_doctor import _no_pause, clock, codes, doubled, orphan

__all__ = ["_no_pause", "clock"]  # fixtures of this module too


def refuse(*_, **__):
    raise OSError(5, "Input/output error")


def as_on_nfs(source, target, source_dir, target_dir):
    """Refuse a name that is taken, as Linux does by itself, and do nothing else, as NFS does."""
    if os.access(target, os.F_OK, dir_fd=target_dir):
        raise FileExistsError(17, "File exists", target)
    return False


TRIALS = {
    "locks": ("locks", locks, "try_lock", lambda *_, **__: True),
    "no locks": ("locks", locks, "try_lock", refuse),
    "rename, gone": ("rename", platform, "rename_noreplace", lambda *_: False),
    "rename, lying": ("rename", platform, "rename_noreplace", lambda *_: True),
    "rename, to a free name": ("rename", platform, "rename_noreplace", as_on_nfs),
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


def test_a_worker_of_another_host_that_is_out_of_reach_is_a_note(shared_spool, clock, monkeypatch):
    monkeypatch.setattr(neighbours, "_BEATS", 0.2)
    own = elsewhere(shared_spool, "web2")
    given.claim(shared_spool, own, given.job(shared_spool, "pending", given.named(clock)), clock)
    report = doctor.examine(shared_spool.path)
    assert "orphan" not in codes(report)
    (found,) = [one for one in report.findings if one.code == "out-of-reach"]
    assert (found.path, "web2" in found.what) == (f"workers/{own.name}", True)


def test_a_worker_of_another_host_that_beats_is_nothing_to_tell(shared_spool, clock):
    heartbeat = Heartbeat(elsewhere(shared_spool, "web2"))
    heartbeat.start()
    report = doctor.examine(shared_spool.path)
    heartbeat.stop()
    assert not {"out-of-reach", "orphan", "dead-worker"} & set(codes(report))


@pytest.mark.parametrize("others", [{}, {"web2-1-abcdef": "web2"}], ids=["alone", "beside another"])
def test_locks_that_stay_with_their_host_are_found(shared_spool, monkeypatch, others):
    monkeypatch.setattr(platform, "mount", lambda path: ("nfs", frozenset({"nolock"})))
    monkeypatch.setattr(platform, "network_filesystem", lambda path: "nfs")
    monkeypatch.setattr(machine, "others_at_work", lambda spool: others)
    report = doctor.examine(shared_spool.path)
    (found,) = [one for one in report.findings if one.code == "local-locks"]
    assert found.severity == ("problem" if others else "note")
    assert "nolock" in found.what
    assert all(host in found.what for host in others.values())


def test_a_repair_that_fails_says_so(spool, clock, monkeypatch):
    orphan(spool, clock)
    monkeypatch.setattr(lease.Lease, "start", refuse)
    report = doctor.examine(spool.path, repair=True)
    assert {"orphan", "not-repaired"} <= codes(report)
    assert not any(finding.repaired for finding in report.findings)


# --- a directory elsewhere ------------------------------------------------------------------------

OWN_MOUNTS = ["unshare", "--mount", "--propagation", "private", "sh", "-c"]  # gone with the process
MOUNT = 'mount -t tmpfs -o mode=700 tmpfs "$1" || exit 99; shift; exec "$@"'


def may_not_mount(tmp_path):
    """Say why no filesystem can be mounted here, or return None."""
    if os.name != "posix" or os.geteuid() != 0:
        return "only root can mount filesystems"
    if shutil.which("unshare") is None:
        return "there is no unshare"
    tried = subprocess.run([*OWN_MOUNTS, MOUNT, "sh", str(tmp_path), "true"], capture_output=True)
    return f"no mount: {tried.stderr.decode()}" if tried.returncode else None


@pytest.mark.parametrize("name", ["pending", "tmp", "workers", "logs"])
def test_a_directory_on_another_filesystem_is_found_and_left_as_it_is(spool, tmp_path, name):
    reason = may_not_mount(tmp_path)
    if reason is not None:
        pytest.skip(reason)
    words = [sys.executable, "-m", "spoolq", "--spool", spool.path, "doctor", "--json"]
    for more in ([], ["--repair"]):
        done = subprocess.run(
            [*OWN_MOUNTS, MOUNT, "sh", os.path.join(spool.path, name), *words, *more],
            capture_output=True,
            env=environment(),
        )
        assert done.returncode == 4, done.stderr
        report = json.loads(done.stdout)
        elsewhere = [f for f in report["findings"] if f["code"] == "other-filesystem"]
        assert [(f["path"], f["severity"], f["repaired"]) for f in elsewhere] == [
            (name, "problem", False)
        ]
        assert "one filesystem" in elsewhere[0]["fix"]
        assert not report["ok"]
    assert "other-filesystem" not in codes(doctor.examine(spool.path))


def test_a_spool_without_its_settings_is_well_by_the_defaults(spool):
    os.unlink(os.path.join(spool.path, "config.json"))
    report = doctor.examine(spool.path, repair=True)
    assert report.findings == []
    assert sorted(os.listdir(spool.path)) == sorted([*DIRECTORIES, "README"])
