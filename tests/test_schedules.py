"""What stands in schedules/ is a schedule, or is said to be none; nothing hostile gets further."""

import json
import os

import pytest

from spoolq import instants, platform, scheduling, trust
from spoolq.config import Settings
from spoolq.errors import BadInput, StorageFailed
from spoolq.schedules import PLACE, is_name, last_of, opened, read, views

pytest.importorskip("cronsim", reason="the extra `schedule` is not installed")

SETTINGS = Settings()
GOOD = '{"cron": "@daily", "job": {"command": "true"}}'


@pytest.fixture
def put(spool):
    """Put a file into schedules/ by hand."""
    os.mkdir(os.path.join(spool.path, PLACE), 0o700)

    def place(name, content=GOOD):
        path = os.path.join(spool.path, PLACE, name)
        with open(path, "wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
        os.chmod(path, 0o600)
        return path

    return place


def problem(spool, name="s"):
    """What is wrong with a schedule, as people are told."""
    (view,) = [view for view in views(spool, SETTINGS, instants.now()) if view.name == name]
    return view.problem


def test_a_file_put_there_by_hand_is_a_schedule_in_utc(spool, put):
    put("s.json")
    with opened(spool) as place:
        found = read(place, "s", SETTINGS)
    assert (found.cron.text, found.cron.zone, found.missed) == ("@daily", "UTC", "once")
    (view,) = views(spool, SETTINGS, instants.now())
    assert view.next > instants.now()
    assert view.as_dict()["problem"] is None
    assert view.last_job is None


def test_a_spool_without_schedules_has_none(spool):
    assert views(spool, SETTINGS, instants.now()) == []


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "not JSON"),
        ("[]", "JSON object"),
        (b"\xff", "UTF-8"),
        ('{"cron": "@daily"}', "needs a 'job'"),
        ('{"job": {"command": "x"}}', "needs a 'cron'"),
        ('{"cron": "@daily", "job": []}', "field 'job': must be an object"),
        ('{"cron": "@daily", "job": {}}', "field 'job': a job needs a 'command'"),
        ('{"cron": "@daily", "job": {"command": "x", "timeout": -1}}', "field 'job.timeout'"),
        ('{"cron": "@daily", "job": {"command": "x", "after": ["y"]}}', "is of one job"),
        ('{"cron": "@never", "job": {"command": "x"}}', "field 'cron': '@never' is no cron"),
        ('{"cron": 5, "job": {"command": "x"}}', "field 'cron': must be text"),
        ('{"cron": "@daily", "timezone": "M", "job": {"command": "x"}}', "field 'timezone'"),
        ('{"cron": "@daily", "missed": [], "job": {"command": "x"}}', "once, skip, all"),
        ('{"cron": "@daily", "time_zone": "UTC", "job": {}}', "did you mean 'timezone'?"),
        ('{"cron": "@daily", "cron": "@daily", "job": {}}', "cron"),
        ("[" * 100_000, "nested"),
        (b" " * (1024 * 1024 + 1), "larger than 1024 KiB"),
    ],
)
def test_what_is_no_schedule_is_said_to_be_none_and_where(spool, put, content, said):
    put("s.json", content)
    put("other.json")
    assert said in problem(spool)
    assert problem(spool, "other") == ""


@pytest.mark.parametrize("name", ["a b", "a.b", "-x", "last", "x" * 48, "ä", "\n"])
def test_what_cannot_be_the_name_of_a_schedule_is_told(spool, put, name):
    put(f"{name}.json")
    assert not is_name(name)
    assert "a schedule's name has" in problem(spool, name)


@pytest.mark.parametrize("name", [".s.json", "s.json.swp", "s.txt", "s.last", "README"])
def test_other_files_are_left_alone(spool, put, name):
    put(name)
    assert views(spool, SETTINGS, instants.now()) == []


def test_what_is_no_regular_file_is_never_opened(spool, put):
    put("good.json")
    room = os.path.join(spool.path, PLACE)
    os.mkfifo(os.path.join(room, "fifo.json"))
    os.mkdir(os.path.join(room, "directory.json"))
    os.symlink("good.json", os.path.join(room, "link.json"))
    for name, kind in (("fifo", "FIFO"), ("directory", "directory"), ("link", "symbolic link")):
        assert kind in problem(spool, name)


@pytest.mark.skipif(platform.WINDOWS, reason="its files have no owner in that sense")
def test_a_file_of_a_stranger_is_no_schedule(spool, put, monkeypatch):
    put("s.json")
    monkeypatch.setattr(trust, "trusts", lambda info, group: False)
    assert "may not run commands here" in problem(spool)


def test_a_file_that_others_can_change_is_no_schedule(spool, put):
    path = put("s.json")
    os.chmod(path, 0o666)
    assert problem(spool) == ""  # nobody else can reach it
    os.chmod(os.path.dirname(path), 0o755)
    assert "can be written by others" in problem(spool)


def test_schedules_that_are_a_link_are_refused(spool, put, tmp_path):
    put("s.json")
    os.rename(os.path.join(spool.path, PLACE), tmp_path / "elsewhere")
    os.symlink(tmp_path / "elsewhere", os.path.join(spool.path, PLACE))
    with pytest.raises(OSError, match=r"Not a directory|symbolic links"):
        views(spool, SETTINGS, instants.now())


def test_schedules_on_another_filesystem_are_refused(spool, put, monkeypatch):
    put("s.json")

    class Elsewhere:
        def __init__(self, info):
            self._info = info
            self.st_dev = info.st_dev + 1

        def __getattr__(self, name):
            return getattr(self._info, name)

    here = spool.root.stat
    monkeypatch.setattr(spool.root, "stat", lambda *args: Elsewhere(here(*args)))
    with pytest.raises(StorageFailed, match="another filesystem"), opened(spool):
        pass


@pytest.mark.parametrize("noted", ["", "yesterday", "2026-11-30", b"\0\0", b"\xff", "9" * 99])
def test_a_note_that_is_no_time_is_told_and_nothing_is_guessed(spool, put, noted):
    put("s.json")
    put("s.last", noted)
    assert "s.last does not say a time" in problem(spool)
    with opened(spool) as place, pytest.raises(BadInput) as refusal:
        last_of(place, "s")
    assert "remove it" in refusal.value.hint


def test_one_whose_note_is_ahead_of_the_clock_is_told(spool, put):
    put("s.json")
    put("s.last", "2999-01-01T00:00:00Z\n")
    assert "ahead of the clock" in problem(spool)


def test_its_job_is_kept_as_it_was_given(spool):
    job = {"command": ["a", "b"], "env": {"X": "y"}, "unknown": [1, {"x": None}]}
    scheduling.add(spool, "s", {"cron": "@daily", "job": job})
    with opened(spool) as place:
        assert read(place, "s", SETTINGS).job == job
        stored = json.loads(place.read("s.json", 10_000)[0])
        assert place.stat("s.json").st_mode & 0o777 == 0o600
    assert stored == {"cron": "@daily", "job": job}
