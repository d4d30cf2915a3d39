"""`export` and `import`, as real processes."""

import io
import json
import os
import subprocess
import sys

import pytest

from spoolq import api
from spoolq.cli import moving
from tests import given
from tests.conftest import entries, environment, wait_until


@pytest.fixture
def other(tmp_path):
    return str(tmp_path / "other")


def ids(text):
    return [json.loads(line)["name"].split(".")[3] for line in text.splitlines()]


def fill(run_cli):
    run_cli("enqueue", "--id", "a", "--tag", "night", "echo a")
    run_cli("enqueue", "--id", "b", "--hold", "echo b")
    run_cli("enqueue", "--id", "c", "--max-retries", "0", "--tag", "night", "exit 3")
    run_cli("worker", "start", "--drain")
    run_cli("enqueue", "--id", "d", "echo d")


def test_jobs_go_through_a_pipe_and_run_there(spool, run_cli, other):
    fill(run_cli)
    said = run_cli("export")
    assert said.stderr == "exported 4 jobs\n"
    done = run_cli("import", stdin=said.stdout, spool_path=other)
    assert done.stdout == ""
    assert f"imported 4 jobs into {other}" in done.stderr
    run_cli("worker", "start", "--drain", spool_path=other)
    assert run_cli("logs", "d", spool_path=other).stdout == "d\n"
    counts = [len(os.listdir(os.path.join(other, s))) for s in ("pending", "completed", "dead")]
    assert counts == [1, 2, 1]
    shown = json.loads(run_cli("show", "c", "--json", spool_path=other).stdout)
    assert shown["history"][0]["exit_code"] == 3


def test_a_file_is_read_as_well_and_twice_is_harmless(spool, run_cli, other, tmp_path):
    fill(run_cli)
    (tmp_path / "jobs.jsonl").write_text(run_cli("export").stdout)
    path = str(tmp_path / "jobs.jsonl")
    first = json.loads(run_cli("import", path, "--json", spool_path=other).stdout)
    assert first == {"spool": other, "imported": 4, "there": 0}
    again = run_cli("import", path, spool_path=other)
    assert "imported 0 jobs" in again.stderr
    assert "; 4 were there already" in again.stderr


def test_a_pipe_leaves_nothing_in_tmp(spool, run_cli, other):
    fill(run_cli)
    run_cli("import", stdin=run_cli("export").stdout, spool_path=other)
    assert os.listdir(os.path.join(other, "tmp")) == [".ids"]


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        (("--state", "dead"), ["c"]),
        (("--state", "dead", "--state", "completed"), ["a", "c"]),
        (("--tag", "night"), ["a", "c"]),
        (("--tag", "night", "--state", "completed"), ["a"]),
        (("--tag", "nobody"), []),
        (("b", "d"), ["b", "d"]),
        (("b", "a", "--state", "pending"), ["b"]),
    ],
)
def test_what_is_exported_can_be_chosen(spool, run_cli, options, wanted):
    fill(run_cli)
    assert sorted(ids(run_cli("export", *options).stdout)) == wanted


def test_an_id_that_is_not_there_is_told_of(spool, run_cli):
    done = run_cli("export", "nobody", check=False)
    assert done.returncode == 1
    assert "nobody" in done.stderr


def test_what_runs_is_left_out_unless_it_is_asked_for(spool, run_cli, start_worker, other):
    run_cli("enqueue", "--id", "a", "sleep 60")
    start_worker()
    wait_until(lambda: entries(spool, "processing"), "the run")
    done = run_cli("export")
    assert done.stdout == ""
    assert "left out, since they run: 1" in done.stderr
    assert run_cli("export", "a", check=False).returncode == 1
    asked = run_cli("export", "--state", "processing").stdout
    assert json.loads(asked)["state"] == "processing"
    run_cli("import", stdin=asked, spool_path=other)
    (name,) = os.listdir(os.path.join(other, "pending"))
    assert name.split(".")[2:4] == ["a1", "a"]
    run_cli("worker", "stop", "--now")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"state": "pending", "name": 7}', "line 2, column 30, field 'name': must be the name"),
        ("{", "line 2, column 2: not JSON"),
        ('{"command": "true"}', "field 'command': no line of an export has this"),
    ],
)
def test_a_wrong_line_is_told_and_nothing_is_imported(spool, run_cli, other, line, said):
    run_cli("enqueue", "--id", "a", "echo a")
    good = run_cli("export").stdout
    done = run_cli("import", stdin=good + line + "\n", spool_path=other, check=False)
    assert done.returncode == 1
    assert said in done.stderr
    assert "; nothing was imported" in done.stderr
    assert os.listdir(os.path.join(other, "pending")) == []


def test_a_file_that_is_not_there_is_told_of(run_cli):
    done = run_cli("import", "nowhere.jsonl", check=False)
    assert done.returncode == 1
    assert "No such file or directory: nowhere.jsonl" in done.stderr


def test_what_cannot_be_exported_is_told_of_and_the_others_go_on(spool, run_cli):
    run_cli("enqueue", "--id", "a", "echo a")
    os.mkfifo(os.path.join(spool.path, "dead", "fifo.json"))
    done = run_cli("export", check=False)
    assert done.returncode == 1
    assert "not exported: not a file but a FIFO" in done.stderr
    assert ids(done.stdout) == ["a"]


def test_a_job_that_moves_meanwhile_is_exported_once(spool, run_cli, clock, monkeypatch):
    """It is seen in pending/, and again where it has gone."""
    from spoolq import api

    name = given.job(spool, "pending", given.named(clock, "a"))
    real = moving.lines.of_file
    moves = []

    def and_then_it_moves(directory, state, filename):
        line = real(directory, state, filename)
        if not moves:
            moves.append(spool.dir("pending").rename(filename, spool.dir("failed"), filename))
        return line

    monkeypatch.setattr(moving.lines, "of_file", and_then_it_moves)
    with api.Spool(spool.path) as opened:
        tally = moving._Tally()
        sink = io.BytesIO()
        for state, filename in moving._all(opened, ()):
            moving._print(opened, state, filename, None, sink, tally, {})
    assert (tally.exported, tally.twice) == (1, 1)
    assert sink.getvalue().count(str(name).encode()) == 1


def test_an_import_that_is_killed_goes_on_when_it_is_done_again(spool, run_cli, other, tmp_path):
    run_cli("enqueue", "-", stdin="".join(f"echo {n}\n" for n in range(3000)))
    path = tmp_path / "jobs.jsonl"
    path.write_text(run_cli("export").stdout)
    words = [sys.executable, "-m", "spoolq", "--spool", other, "import", str(path)]
    process = subprocess.Popen(words, stderr=subprocess.DEVNULL, env=environment())
    wait_until(
        lambda: os.path.isdir(os.path.join(other, "pending")) and os.listdir(other + "/pending"),
        "the first jobs",
    )
    process.kill()
    process.wait()
    there = len(os.listdir(os.path.join(other, "pending")))
    done = json.loads(run_cli("import", str(path), "--json", spool_path=other).stdout)
    assert done == {"spool": other, "imported": 3000 - there, "there": there}
    assert len(os.listdir(os.path.join(other, "pending"))) == 3000


def test_what_is_enqueued_during_an_export_waits_where_it_arrives(spool, capfdbinary, monkeypatch):
    real = moving.dependencies.still_open

    def looked_through(place):
        found = real(place)
        if not found:
            with api.Spool(spool.path) as opened:
                opened.enqueue("true", id="a")
                opened.enqueue("true", id="b", after=["a"])
        return found

    monkeypatch.setenv("SPOOLQ_SPOOL", spool.path)
    monkeypatch.setattr(moving.dependencies, "still_open", looked_through)
    moving.export.main([], standalone_mode=False)
    told = [json.loads(line) for line in capfdbinary.readouterr().out.splitlines()]
    assert [line["waits"] for line in told if line["job"]["id"] == "b"] == [["after.a"]]
