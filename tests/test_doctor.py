"""Every finding has a spool that brings it about, and none comes of a healthy one."""

import errno
import json
import os
import shutil
import stat
import time
from datetime import timedelta

import pytest

from spoolq import doctor, instants, names, pauses, platform
from spoolq.errors import NoSpool, StorageFailed
from spoolq.layout import DIRECTORIES, PAUSED
from spoolq.names import Name
from spoolq.spool import SpoolDir
from tests import given
from tests.conftest import REPOSITORY, FakeClock
from tests.users import ROOT, run_as

OLD = 2 * 86_400
DROPPED = "not json"


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch):
    """Look twice without the pause in between: nothing moves in these tests."""
    monkeypatch.setattr(doctor, "_MOVING", 0)
    monkeypatch.setattr(doctor, "_STILL", 0)


class Now(FakeClock):
    """A clock that stands at the real now, so that what it makes is neither late nor early."""

    def __init__(self):
        super().__init__()
        self._now = instants.now()


@pytest.fixture
def clock():
    return Now()


def age(path, seconds=OLD):
    past = time.time() - seconds
    os.utime(path, (past, past), follow_symlinks=False)


def waiting(job_id="j1", state="pending", late=0.0, **fields):
    """Make a step that puts a job into a state, due since `late` seconds."""

    def put(spool, clock):
        stamp = instants.to_stamp(clock() - timedelta(seconds=late))
        given.job(spool, state, Name(stamp, 5, 0, job_id), **fields)

    return put


def drop(state, filename, content=DROPPED):
    def put(spool, clock):
        path = given.write(spool, state, filename, content)
        age(path, 100)

    return put


def on_its_way(spool, clock):
    own = given.worker(spool)
    name = given.job(spool, "pending", given.named(clock))
    spool.claim_to_change("pending", str(name), name, own.name, names.mark_of("host:") + "_0")
    given.die(own)


def orphan(spool, clock, **outcome):
    own = given.worker(spool)
    claim = given.claim(spool, own, given.job(spool, "pending", given.named(clock)), clock)
    if outcome:
        record = given.record(spool, claim, clock, **outcome)
        given.write(spool, "processing", str(claim), record.data)
    given.die(own)


def published_twice(spool, clock):
    name = str(given.named(clock))
    os.link(given.write(spool, "pending", name, '{"command": "true"}'), path_of(spool, "tmp", name))


def doubled(spool, clock):
    waiting()(spool, clock)
    waiting(state="dead", late=60)(spool, clock)


def dead_worker(spool, clock):
    given.die(given.worker(spool))


def troubled_worker(spool, clock):
    given.worker(spool).show_trouble("outcomes", "No space left on device")


def linked_worker(spool, clock):
    os.symlink("/nowhere", path_of(spool, "workers", "web1-4121-x7f3"))


def unknown_worker(spool, clock):
    os.makedirs(path_of(spool, "workers", "web1-4121-x7f3", "lock"))


def broken_schedule(spool, clock):
    os.mkdir(os.path.join(spool.path, "schedules"), 0o700)
    path_of(spool, "schedules", "x.json", touch=True)


def open_schedules(spool, clock):
    os.mkdir(os.path.join(spool.path, "schedules"))
    os.chmod(os.path.join(spool.path, "schedules"), 0o777)


def tag_paused(spool, clock):
    waiting(late=300)(spool, clock)
    given.worker(spool)
    pauses.pause(spool, "night")


def paused(spool, clock):
    waiting(late=300)(spool, clock)
    given.worker(spool)
    path_of(spool, PAUSED, touch=True)


def overdue(spool, clock):
    given.worker(spool)
    waiting(state="failed", late=300)(spool, clock)


def old_litter(spool, clock):
    age(path_of(spool, "tmp", "half", touch=True))
    inner = path_of(spool, "tmp", "web1-4121-x7f3")
    os.mkdir(inner)
    age(inner)


def bell(spool, clock):
    path_of(spool, "pending", ".bell-x", touch=True)


def lone_log(spool, clock):
    path_of(spool, "logs", f"j9.a1.{instants.to_stamp(clock())}.log", touch=True)


def lone_work(spool, clock):
    os.makedirs(path_of(spool, "work", "j9"))


def half_gone(spool, clock):
    os.makedirs(path_of(spool, "work", ".gone", "x"))


def linked_work(spool, clock):
    os.symlink("/nowhere", path_of(spool, "work"))


def forgotten_waits(spool, clock):
    given.job(spool, "pending", Name(names.AFTER, 5, 0, "j1"), after=["j0"])


def linked_waits(spool, clock):
    os.symlink("/nowhere", path_of(spool, "after"))


def linked_limits(spool, clock):
    os.symlink("/nowhere", path_of(spool, "limits"))


def removed(name):
    return lambda spool, clock: shutil.rmtree(path_of(spool, name))


def mode(name, bits):
    return lambda spool, clock: os.chmod(path_of(spool, name), bits)


def linked(spool, clock):
    os.rename(path_of(spool, "logs"), path_of(spool, "elsewhere"))
    os.symlink("elsewhere", path_of(spool, "logs"))


def settings(text):
    return lambda spool, clock: given.write(spool, "", "config.json", text)


def foreign_directory(spool, clock):
    os.chown(path_of(spool, "pending"), 12345, 12345)


def foreign_file(spool, clock):
    waiting(late=30)(spool, clock)
    for entry in spool.dir("pending").list():
        os.chown(path_of(spool, "pending", entry), 12345, 12345)
        age(path_of(spool, "pending", entry), 100)


def hook(name, bits):
    def put(spool, clock):
        os.mkdir(path_of(spool, "hooks"), 0o700)
        os.close(os.open(path_of(spool, "hooks", name), os.O_CREAT | os.O_WRONLY, 0o600))
        os.chmod(path_of(spool, "hooks", name), bits)

    return put


def path_of(spool, *parts, touch=False):
    path = os.path.join(spool.path, *parts)
    if touch:
        open(path, "w").close()
    return path


#: What brings a finding about: its code, its path or how it begins, the damage, and whether a
#: repair puts it right.
DAMAGES = {
    "missing pending": ("missing", "pending", removed("pending"), True),
    "missing workers": ("missing", "workers", removed("workers"), True),
    "missing tmp": ("missing", "tmp", removed("tmp"), True),
    "a link": ("not-a-directory", "logs", linked, False),
    "open to all": ("unsafe", "", mode("", 0o777), True),
    "pending open to all": ("unsafe", "pending", mode("pending", 0o777), True),
    "no use to its owner": ("no-access", "dead", mode("dead", 0o000), True),
    "readable": ("readable", "", mode("", 0o755), False),
    "broken settings": ("config", "config.json", settings("{"), False),
    "a wrong value": ("config", "config.json", settings('{"max_retries": -1}'), False),
    "a key unknown": ("unknown-setting", "config.json", settings('{"retries": 1}'), False),
    "a new format": ("format", "config.json", settings('{"format": 99}'), False),
    "no job": ("unparseable", "pending/x.json", drop("pending", "x.json"), False),
    "no job, dead": ("unparseable", "dead/x.json", drop("dead", "x.json"), False),
    "a backup": ("ignored", "pending/x.json~", drop("pending", "x.json~"), False),
    "one id": ("doubled-id", "dead/", doubled, False),
    "a stray": ("stray", "processing/x.json", drop("processing", "x.json", '{"command":""}'), True),
    "an orphan": ("orphan", "processing/", orphan, True),
    "one on its way": ("on-its-way", "processing/", on_its_way, False),
    "a record": ("unfinished-move", "processing/", lambda *a: orphan(*a, exit_code=0), True),
    "two names": ("unfinished-move", "tmp/", published_twice, True),
    "a worker gone": ("dead-worker", "workers/", dead_worker, True),
    "a worker in trouble": ("worker-trouble", "workers/", troubled_worker, False),
    "a worker that is a link": ("ignored", "workers/web1-4121-x7f3", linked_worker, False),
    "a lock that is none": ("unknown-worker", "workers/web1-4121-x7f3", unknown_worker, False),
    "litter": ("litter", "tmp/half", old_litter, True),
    "a bell": ("litter", "pending/.bell-x", bell, True),
    "a log alone": ("log-without-job", "logs/j9", lone_log, False),
    "kept by nobody": ("work-without-job", "work/j9", lone_work, False),
    "removed by half": ("work-without-job", "work/.gone", half_gone, False),
    "a link for work": ("not-a-directory", "work", linked_work, False),
    "what it waited for": ("missing", "after", forgotten_waits, True),
    "a link for waits": ("not-a-directory", "after", linked_waits, False),
    "a link for limits": ("not-a-directory", "limits", linked_limits, False),
    "a hook for all": ("unsafe", "hooks/on-dead", hook("on-dead", 0o777), False),
    "a hook without x": ("hook", "hooks/on-dead", hook("on-dead", 0o600), False),
    "a hook misspelt": ("hook", "hooks/on-daed", hook("on-daed", 0o700), False),
    "hooks in a file": ("hook", "hooks", lambda s, _: path_of(s, "hooks", touch=True), False),
    "a broken schedule": ("schedule", "schedules/x.json", broken_schedule, False),
    "open schedules": ("unsafe", "schedules", open_schedules, True),
    "paused": ("paused", "paused", paused, False),
    "a tag is paused": ("paused", "paused.night", tag_paused, False),
    "no worker": ("no-worker", "workers", waiting(late=300), False),
    "no worker, not late": ("no-worker", "workers", waiting(), False),
    "overdue": ("overdue", "failed/", overdue, False),
    "far": ("far-future", "pending/", waiting(late=-20 * 366 * 86_400), False),
    "a stranger's directory": ("unsafe", "pending", foreign_directory, False),
    "a stranger's file": ("foreign-file", "pending/", foreign_file, False),
}
NOTES = {
    "readable",
    "unknown-setting",
    "ignored",
    "log-without-job",
    "work-without-job",
    "far-future",
}
HARMLESS = NOTES | {
    "a hook without x",
    "a hook misspelt",
    "a tag is paused",
    "no job, dead",
    "no worker, not late",
}
NEEDS_ROOT = {"a stranger's directory", "a stranger's file"}


def found(report, code):
    return [finding for finding in report.findings if finding.code == code]


def codes(report):
    return {finding.code for finding in report.findings if not finding.repaired}


def healthy(spool, clock):
    """Fill a spool with jobs in every state, and a worker that lives."""
    own = given.worker(spool)
    waiting("j-run")(spool, clock)
    name = Name(instants.to_stamp(clock()), 5, 0, "j-run")
    given.claim(spool, own, name, clock)
    waiting("j-wait")(spool, clock)
    waiting("j-later", late=-3600)(spool, clock)
    waiting("j-retry", "failed", late=-60)(spool, clock)
    waiting("j-done", "completed", late=10)(spool, clock)
    waiting("j-dead", "dead", late=10)(spool, clock)
    log = f"j-done.a1.{instants.to_stamp(clock())}.log"
    path_of(spool, "logs", log, touch=True)
    path_of(spool, "tmp", "just-now", touch=True)
    return own


def test_a_healthy_spool_is_well(spool, clock):
    own = healthy(spool, clock)
    report = doctor.examine(spool.path)
    assert report.findings == []
    assert report.is_well
    assert report.facts["locks"] is report.facts["rename_noreplace"] is True
    assert report.facts["jobs"] == {
        "pending": 2,
        "processing": 1,
        "failed": 1,
        "completed": 1,
        "dead": 1,
    }
    assert report.facts["workers"] == 1
    assert spool.dir("tmp").list() == ["just-now"]
    own.leave()


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damage_is_found_and_repaired_only_where_nothing_is_lost(spool, clock, name):
    code, path, damage, repairable = DAMAGES[name]
    if name in NEEDS_ROOT and platform.effective_user() != 0:
        pytest.skip("only root gives files away")
    damage(spool, clock)
    report = doctor.examine(spool.path)
    finding = next(f for f in found(report, code) if f.path.startswith(path))
    assert finding.what and finding.fix
    harmless = name in HARMLESS or code in NOTES
    assert finding.severity == ("note" if harmless else "problem")
    assert not finding.repaired
    assert harmless or not report.is_well
    json.dumps(report.as_dict())

    first = doctor.examine(spool.path, repair=True)
    again = [f for f in found(first, code) if f.path == finding.path]
    assert [f.repaired for f in again] == [repairable]
    second = doctor.examine(spool.path, repair=True)
    assert not any(f.repaired for f in second.findings)
    assert codes(second) == codes(first)


def test_every_damage_has_a_code_and_every_code_is_documented():
    page = (REPOSITORY / "docs" / "cli.md").read_text(encoding="utf-8")
    for code, meaning in doctor.CODES.items():
        assert f"| `{code}` | {meaning} |" in page
    assert {code for code, *_ in DAMAGES.values()} <= set(doctor.CODES)


def test_a_directory_that_is_no_spool_is_refused(tmp_path):
    (tmp_path / "tmp").mkdir()
    for path in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(NoSpool):
            doctor.examine(str(path), repair=True)
    assert os.listdir(tmp_path) == ["tmp"]


def test_a_disk_that_does_not_answer_is_not_taken_for_no_spool(spool, monkeypatch):
    """Found by a filesystem that shut down: there was no spool, said the doctor."""

    def fails(path, *_, **__):
        raise OSError(errno.EIO, "Input/output error", path)

    with monkeypatch.context() as patch:
        patch.setattr(os, "stat", fails)
        patch.setattr(os, "lstat", fails)
        with pytest.raises(StorageFailed, match="Input/output error"):
            doctor.examine(spool.path)


def test_where_a_worker_cannot_be_told_dead_nobody_says_that_none_is_there(spool, clock):
    """Found on a disk that failed: its living worker's lock could not be opened."""
    unknown_worker(spool, clock)
    waiting(late=300)(spool, clock)
    found = codes(doctor.examine(spool.path))
    assert "unknown-worker" in found
    assert "no-worker" not in found


def test_an_id_that_stands_twice_is_left_to_a_person(spool, clock):
    doubled(spool, clock)
    before = given.everything(spool)
    report = doctor.examine(spool.path, repair=True)
    assert found(report, "doubled-id")
    assert given.everything(spool) == before


def test_a_dead_workers_recorded_job_is_moved_and_does_not_run_again(spool, clock):
    orphan(spool, clock, exit_code=0)
    report = doctor.examine(spool.path, repair=True)
    assert [state for state, _ in given.everything(spool)] == ["completed"]
    assert {f.code for f in report.findings if f.repaired} == {"unfinished-move"}


def test_a_spool_of_a_later_format_is_left_as_it_is(spool, clock):
    settings('{"format": 99}')(spool, clock)
    shutil.rmtree(path_of(spool, "workers"))
    orphans = os.listdir(spool.path)
    report = doctor.examine(spool.path, repair=True)
    assert codes(report) == {"format", "missing"}
    assert os.listdir(spool.path) == orphans


def test_a_spool_without_most_of_its_directories_is_whole_after_a_repair(spool, clock):
    for name in DIRECTORIES:
        if name != "dead":
            shutil.rmtree(path_of(spool, name))
    drop("dead", "x.json")(spool, clock)
    first = doctor.examine(spool.path, repair=True)
    assert len([f for f in first.findings if f.repaired]) == len(DIRECTORIES) - 1
    assert codes(first) == {"unparseable"}
    for name in DIRECTORIES:
        assert stat.S_IMODE(os.stat(path_of(spool, name)).st_mode) == 0o700


@ROOT
def test_a_spool_of_a_group_is_well_and_its_modes_are_its_own(tmp_path, clock):
    shared = SpoolDir.create(str(tmp_path / "shared"), group="daemon")
    waiting()(shared, clock)
    assert doctor.examine(shared.path).is_well
    os.chmod(path_of(shared, "pending"), 0o755)
    os.chmod(path_of(shared, "dead"), 0o2777)
    shutil.rmtree(path_of(shared, "failed"))
    report = doctor.examine(shared.path, repair=True)
    assert {f.code for f in report.findings if f.repaired} == {"no-access", "unsafe", "missing"}
    assert report.is_well
    for name, bits in (("pending", 0o2775), ("dead", 0o2775), ("failed", 0o2770)):
        assert stat.S_IMODE(os.stat(path_of(shared, name)).st_mode) == bits
    shared.close()


@ROOT
def test_what_belongs_to_somebody_else_is_looked_at_and_not_repaired(spool, clock):
    orphan(spool, clock)
    for folder, _, files in os.walk(spool.path):
        for path in [folder, *(os.path.join(folder, name) for name in files)]:
            os.chown(path, 12345, 12345)
    before = given.everything(spool)
    report = doctor.examine(spool.path, repair=True)
    assert {"orphan", "not-yours"} <= codes(report)
    assert "foreign-file" not in codes(report)
    assert given.everything(spool) == before


@ROOT
def test_a_user_who_may_not_enter_hears_so_without_a_traceback(spool, clock):
    def look():
        try:
            doctor.examine(spool.path)
        except Exception as error:
            return type(error).__name__
        return "looked"

    assert run_as(look, 12345, 12345) in ("StorageFailed", "NoSpool")


def test_of_a_link_in_the_place_of_a_directory_nothing_is_told_but_that(spool, clock):
    """The mode of the link is everybody's, and `chmod` would change what it leads to."""
    linked(spool, clock)
    report = doctor.examine(spool.path, repair=True)
    told = [(finding.code, finding.path) for finding in report.findings if finding.path == "logs"]
    assert told == [("not-a-directory", "logs")]
    assert not any("[Errno" in finding.what for finding in report.findings)
