"""`events`: what a person and a script see of them."""

import json
import subprocess
import sys

from tests.conftest import environment


def test_the_past_is_the_last_change_of_each_job(spool, spoolq, start_worker):
    spoolq("enqueue", "--id", "a", "true")
    spoolq("enqueue", "--id", "b", "--max-retries", "0", "false")
    spoolq("enqueue", "--id", "c", "--in", "1h", "true")
    assert start_worker("--drain").wait() == 0
    lines = [line.split() for line in spoolq("events").out.splitlines()]
    assert sorted((line[1], line[2]) for line in lines) == [
        ("a", "completed"), ("b", "dead"), ("c", "pending")
    ]  # fmt: skip
    assert [line.split()[1] for line in spoolq("events", "--state", "dead").out.splitlines()] == [
        "b"
    ]
    assert len(spoolq("events", "-n", "1").out.splitlines()) == 1
    assert spoolq("events", "-n", "0").out == ""


def test_what_happens_is_told_as_it_happens(request, spool, spoolq, start_worker):
    following = subprocess.Popen(
        [sys.executable, "-m", "spoolq", "--spool", spool.path, "events", "-f", "--json"],
        stdout=subprocess.PIPE,
        text=True,
        env=environment(),
    )
    request.addfinalizer(following.communicate)
    request.addfinalizer(following.kill)
    spoolq("enqueue", "--id", "first", "true")
    assert json.loads(following.stdout.readline())["id"] == "first"
    worker = start_worker("--drain")
    told = [json.loads(following.stdout.readline()) for _ in range(2)]
    assert [(one["state"], one["attempt"]) for one in told] == [("processing", 1), ("completed", 1)]
    assert f"-{worker.pid}-" in told[0]["worker"]
    assert worker.wait() == 0
