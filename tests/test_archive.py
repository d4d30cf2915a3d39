"""A job is in the spool or in the archive, whatever ends whoever packs it; and is told once."""

import base64
import gzip
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from spoolq import archive, instants, names, platform
from spoolq.fsio import Dir
from spoolq.purging import Purge
from spoolq.spool import SpoolDir
from tests import given
from tests.conftest import environment, wait_until
from tests.faults.loop.seam import Plan, Seam


def fill(spool, count=5, state="completed", **fields):
    """Put ended jobs into a spool, one a second; return their file names."""
    found = []
    for number in range(count):
        name = names.parse(f"20261124T0206{number:02}000000Z.p5.a1.j{number}.json")
        given.job(spool, state, name, **fields)
        found.append(str(name))
    return found


def purge(spool, clock, state="completed", refuse=None):
    """Put everything in a state into the archive."""
    work = Purge(spool, clock(), refuse or (lambda path, why: pytest.fail(f"{path}: {why}")))
    work.older_than(state, 0, archived=True)
    return work


def archived(spool, **wanted):
    """The jobs of the archive, with whatever it complains of."""
    complaints = []
    found = list(archive.jobs(spool, lambda *what: complaints.append(what), **wanted))
    return found, complaints


def ids(spool):
    found, complaints = archived(spool)
    assert complaints == []
    return [view.id for view in found]


def live(spool):
    return [names.id_in(entry) for entry in spool.dir("completed").list()]


def files(spool):
    return sorted(Path(spool.path, "archive").iterdir())


# --- what is kept ---------------------------------------------------------------------------------


def test_what_is_archived_is_the_whole_job_and_has_left_the_spool(spool, clock):
    at = "2026-11-24T02:06:00Z"
    entry = {"attempt": 1, "exit_code": 3, "started_at": at, "finished_at": at, "worker": "h-1-a"}
    filename = "20261124T020601000000Z.p7.a2.j1.json"
    fields = {"tags": ["t"], "max_retries": 1, "history": [entry], "note": {"own": [1]}}
    given.job(spool, "dead", names.parse(filename), **fields)
    before = json.loads(Path(spool.path, "dead", filename).read_text())
    work = purge(spool, clock, "dead")
    assert (work.jobs, work.archived, spool.dir("dead").list()) == (1, 1, [])
    (view,), complaints = archived(spool)
    assert complaints == []
    assert view.job.fields == {**before, "id": "j1"}
    assert (view.id, view.state, view.attempts) == ("j1", "dead", 2)
    assert (view.name.priority, view.error) == (7, "exit code 3")


def test_a_line_is_what_zcat_and_jq_can_use(spool, clock):
    fill(spool, 1, tags=["t"])
    purge(spool, clock)
    (file,) = files(spool)
    assert file.name.startswith("20261124T020646123456Z-") and file.name.endswith(".jsonl.gz")
    assert file.stat().st_mode & 0o777 == 0o600
    line = json.loads(gzip.decompress(file.read_bytes()))
    assert line.pop("updated_at") and line.pop("archived") == {
        "file": "20261124T020600000000Z.p5.a1.j0.json",
        "at": "2026-11-24T02:06:46.123456Z",
        "exit_code": None,
        "signal": None,
        "error": None,
    }
    command = {"command": "echo j0", "tags": ["t"]}
    assert line == {"state": "completed", "attempts": 1, "id": "j0", **command}


def test_what_is_no_job_is_kept_byte_for_byte(spool, clock):
    given.write(spool, "dead", "x.json", b"\xff{no job")
    clock.set_wall(instants.later(instants.now(), 60))  # it has no time in its name
    purge(spool, clock, "dead")
    (view,), _ = archived(spool)
    assert (view.id, view.job, view.state) == ("x.json", None, "dead")
    assert "not UTF-8" in view.error
    line = json.loads(gzip.decompress(files(spool)[0].read_bytes()))
    assert base64.b64decode(line["archived"]["base64"]) == b"\xff{no job"


def test_what_cannot_be_kept_stays_and_is_told(spool, clock):
    clock.set_wall(instants.later(instants.now(), 60))
    os.mkdir(os.path.join(spool.path, "dead", "d.json"))
    given.write(spool, "dead", "big.json", b"x" * (1024 * 1024 + 1))
    told = []
    purge(spool, clock, "dead", refuse=lambda path, why: told.append((os.path.basename(path), why)))
    assert sorted(told) == [
        ("big.json", "no job, and larger than 1024 KiB"),
        ("d.json", "not a file but a directory"),
    ]
    assert sorted(spool.dir("dead").list()) == ["big.json", "d.json"]


def test_the_newest_come_first_and_many_files_are_one_list(spool, clock, monkeypatch):
    monkeypatch.setattr(archive, "MOST_JOBS", 2)
    fill(spool)
    purge(spool, clock)
    assert len(files(spool)) == 3
    clock.advance(1)
    given.job(spool, "completed", names.parse("20261124T020646000000Z.p5.a1.j9.json"))
    purge(spool, clock)
    assert ids(spool) == ["j9", "j4", "j3", "j2", "j1", "j0"]
    assert [view.id for view in archived(spool, limit=1)[0]] == ["j9"]


def test_a_file_is_bounded_by_its_bytes(spool, clock, monkeypatch):
    monkeypatch.setattr(archive, "MOST_BYTES", 1000)
    fill(spool, note="x" * 600)
    purge(spool, clock)
    assert len(files(spool)) == 3
    assert len(ids(spool)) == 5


def test_state_and_tag_choose(spool, clock):
    fill(spool, 2, "dead", tags=["a"])
    purge(spool, clock, "dead")
    fill(spool, 3, "completed")
    purge(spool, clock)
    assert len(archived(spool, state="dead")[0]) == 2
    assert len(archived(spool, state="completed")[0]) == 3
    assert {view.state for view in archived(spool, tag="a")[0]} == {"dead"}


# --- damage ---------------------------------------------------------------------------------------


def packed(spool, clock):
    """Make three archives of two jobs each."""
    for number in range(3):
        for each in (0, 1):
            given.job(
                spool,
                "completed",
                names.parse(f"2026112{number}T02060{each}000000Z.p5.a1.j{number}{each}.json"),
            )
        purge(spool, clock)
        clock.advance(1)
    return files(spool)


def test_a_damaged_file_stops_no_other(spool, clock):
    middle = packed(spool, clock)[1]
    whole = middle.read_bytes()
    for damaged in (b"", b"no gzip", whole[:-9], whole[: len(whole) // 2], whole[:20]):
        middle.write_bytes(damaged)
        found, complaints = archived(spool)
        assert [view.id for view in found][:2] == ["j21", "j20"]
        assert [view.id for view in found][-2:] == ["j01", "j00"]
        assert len(complaints) == 1
        assert all(path == str(middle) for path, _ in complaints)


def test_a_line_that_is_no_job_stops_no_other(spool, clock):
    middle = packed(spool, clock)[1]
    good = gzip.decompress(middle.read_bytes()).splitlines()
    job = json.loads(good[0])
    hostile = [
        b"{",
        b"[]",
        b"{}",
        b'{"command": "x"}',
        b"[" * 100_000,
        b"\xff",
        json.dumps({**job, "state": "pending"}).encode(),
        json.dumps({**job, "archived": {"file": "../../etc/x.json"}}).encode(),
        json.dumps({**job, "archived": {"file": "a\0.json"}}).encode(),
        json.dumps({**job, "updated_at": 5}).encode(),
        json.dumps({**job, "command": 5}).encode(),
    ]
    middle.write_bytes(gzip.compress(b"\n".join([good[0], *hostile, good[1]])))
    found, complaints = archived(spool)
    assert [view.id for view in found] == ["j21", "j20", "j11", "j10", "j01", "j00"]
    assert len(complaints) == len(hostile)


def test_a_file_of_lines_that_are_no_jobs_is_told_of_in_few_words(spool, clock):
    file = packed(spool, clock)[1]
    file.write_bytes(gzip.compress(b"\n" * 5000))
    found, complaints = archived(spool)
    assert [view.id for view in found] == ["j21", "j20", "j01", "j00"]
    assert len(complaints) == 21
    assert complaints[-1] == (str(file), "4980 more of its lines are no jobs")


def test_lines_without_end_that_are_no_jobs_are_not_read_to_their_end(spool, clock):
    file = packed(spool, clock)[1]
    file.write_bytes(gzip.compress(b"\n" * 20_000))
    found, complaints = archived(spool)
    assert [view.id for view in found] == ["j21", "j20", "j01", "j00"]
    assert len(complaints) == 21
    said = "cannot be read from line 10000 on: 10000 of its lines are no jobs"
    assert complaints[-1] == (str(file), said)


def test_a_line_without_end_is_not_read_to_its_end(spool, clock, monkeypatch):
    monkeypatch.setattr(archive, "_MOST_LINE", 1000)
    file = packed(spool, clock)[1]
    file.write_bytes(gzip.compress(b" " * 10_000_000))
    found, ((_, what),) = archived(spool)
    assert (len(found), "longer than 1000 bytes" in what) == (4, True)


@pytest.mark.skipif(platform.WINDOWS, reason="no FIFOs there")
def test_what_is_no_file_in_the_archive_is_not_opened(spool, clock):
    file = packed(spool, clock)[0]
    file.unlink()
    os.mkfifo(file)
    found, ((_, what),) = archived(spool)
    assert (len(found), "FIFO" in what) == (4, True)


def test_files_of_other_names_are_left_alone(spool, clock):
    packed(spool, clock)
    Path(spool.path, "archive", "notes.txt").write_text("mine")
    Path(spool.path, "archive", ".hidden.jsonl.gz").write_text("mine")
    assert len(ids(spool)) == 6


def test_a_spool_without_an_archive_has_no_archived_jobs(spool):
    assert archived(spool) == ([], [])


# --- crashes --------------------------------------------------------------------------------------


def calls_of_a_purge(spool, clock):
    """The calls that change the disk, of a purge into the archive, in their order."""
    seam = Seam()
    with seam.installed():
        seam.armed = True
        purge(spool, clock)
    return seam.trace


def is_safe(trace, spool):
    """Say whether the archive was durable when the first job was removed."""
    root, directory = os.stat(spool.path).st_ino, os.stat(f"{spool.path}/archive").st_ino
    durable = set()
    for event in trace:
        if event["call"] == "open":
            packed = event["ino"]
        if event["call"] in ("fsync", "fdatasync"):
            durable.add(event["ino"])
        if event["call"] in ("rename_noreplace", "link") and event["ino"] == packed:
            if packed not in durable:
                return False
            durable.discard(directory)  # the name is new there
        if event["call"] == "unlink":
            return {root, directory, packed} <= durable
    raise AssertionError("no job was removed")


def test_no_job_is_removed_before_the_archive_is_on_the_disk(spool, clock):
    fill(spool)
    assert is_safe(calls_of_a_purge(spool, clock), spool)
    fill(spool)
    assert is_safe(calls_of_a_purge(spool, clock), spool)  # with an archive that was there


@pytest.mark.parametrize("left_out", ["its data", "its name", "the directory of it"])
def test_a_sync_that_is_left_out_is_noticed(spool, clock, monkeypatch, left_out):
    """A negative control: without one of the three syncs the same check fails."""
    real = Dir.sync
    if left_out == "its data":
        write = Dir.write
        monkeypatch.setattr(Dir, "write", lambda self, *a, sync: write(self, *a, sync=False))
    else:
        name = {"its name": "archive", "the directory of it": "spool"}[left_out]

        def sync(self):
            if os.path.basename(self.path) != name:
                real(self)

        monkeypatch.setattr(Dir, "sync", sync)
    fill(spool)
    assert not is_safe(calls_of_a_purge(spool, clock), spool)


def test_where_the_archive_cannot_be_written_no_job_is_removed(spool, clock):
    fill(spool)
    count = len(calls_of_a_purge(spool, clock))
    before = sorted(ids(spool))
    fill(spool)
    for way in ("error", "errors"):
        for at in range(1, count + 1):
            seam = Seam(Plan(at, way))
            try:
                with seam.installed():
                    seam.armed = True
                    purge(spool, clock, refuse=lambda path, why: None)
            except OSError:
                pass
            assert sorted({*ids(spool), *live(spool)}) == before


def losses(tmp_path, clock, way):
    """Kill a purge at each of its steps in turn; return the steps after which something is wrong.

    And how many steps there are.
    """
    wrong = []
    for at in range(1, 100):
        spool = SpoolDir.create(str(tmp_path / f"spool-{way}-{at}"))
        fill(spool)
        child = os.fork()
        if child == 0:  # from here on it works on files, and ends
            seam = Seam(Plan(at, way), die=lambda: os._exit(9))
            with seam.installed():
                seam.armed = True
                purge(spool, clock)
            os._exit(0)
        ended = os.waitpid(child, 0)[1]
        between = sorted([*ids(spool), *live(spool)])
        purge(spool, clock)
        after = sorted(ids(spool))
        if not between == after == ["j0", "j1", "j2", "j3", "j4"] or live(spool):
            wrong.append(at)
        spool.close()
        if ended == 0:
            return wrong, at
    raise AssertionError("it has no end")


def with_forks(test):
    """Mark a test whose processes are forks, which do nothing but work on files."""
    test = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")(test)
    return pytest.mark.filterwarnings("ignore::DeprecationWarning")(test)


@with_forks
@pytest.mark.parametrize("way", ["die before", "die after"])
def test_a_kill_at_any_step_loses_no_job_and_tells_none_twice(tmp_path, clock, monkeypatch, way):
    monkeypatch.setattr(archive, "MOST_JOBS", 2)
    wrong, steps = losses(tmp_path, clock, way)
    assert wrong == []
    assert steps > 20


@with_forks
def test_a_purge_that_removes_before_it_has_packed_is_noticed(tmp_path, clock, monkeypatch):
    """A negative control: the other order loses jobs, and the same check finds the steps."""
    publish = archive._publish

    def store(spool, state, filenames, now, refuse):
        lines = [archive._line(spool, state, each, None, now) for each in filenames]
        yield filenames
        with archive._opened(spool, make=True) as directory:
            publish(spool, directory, lines, now, 0)

    monkeypatch.setattr(archive, "store", store)
    assert losses(tmp_path, clock, "die after")[0] != []


@with_forks
def test_a_list_that_looks_for_no_doubles_is_noticed(tmp_path, clock, monkeypatch):
    """A negative control: told from the files alone, a job that was packed twice is told twice."""
    monkeypatch.setattr(archive, "jobs", lambda spool, complain: plainly(spool, complain))
    assert losses(tmp_path, clock, "die after")[0] != []


def plainly(spool, complain):
    """Every line of every archive, whatever else there is."""
    if spool.root.has("archive"):
        with archive._opened(spool, make=False) as directory:
            for filename in directory.list():
                yield from archive._in_file(directory, filename, None, complain)


def test_killed_again_and_again_a_purge_loses_no_job_and_tells_none_twice(spool, clock):
    total = 600
    for number in range(total):
        stamp = f"20261124T02{number // 60:02}{number % 60:02}000000Z"
        given.job(spool, "completed", names.parse(f"{stamp}.p5.a1.j{number}.json"))
    code = (
        "import sys; from spoolq import archive; archive.MOST_JOBS = 7\n"
        "from spoolq.cli.main import main; main(sys.argv[1:])"
    )
    words = [sys.executable, "-c", code, "--spool", spool.path, "purge", "--yes", "--archive"]
    killed = 0
    for tries in range(200):
        killed += kill_as_it_removes(spool, words, pause=tries % 7 / 1000)
        both = [*ids(spool), *live(spool)]
        assert len(both) == len(set(both)) == total
        if not live(spool):
            break
    assert live(spool) == []
    assert killed >= 3


def kill_as_it_removes(spool, words, pause):
    """Kill a purge a moment after it has begun to remove, each time at another step."""
    before = len(live(spool))
    process = subprocess.Popen(words, env=environment(), stderr=subprocess.DEVNULL)
    wait_until(lambda: process.poll() is not None or len(live(spool)) < before)
    time.sleep(pause)
    process.send_signal(signal.SIGKILL)
    return process.wait() == -signal.SIGKILL
