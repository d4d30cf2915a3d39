"""What a person sees of a spool: at every width, of any size, in words that can be understood."""

import json
import os
import re
from datetime import datetime, timezone

import pytest
from rich.cells import cell_len

from spoolq import instants
from tests.cli.test_terminal import Screen
from tests.conftest import entries, wait_until

VERBS = ("status", "list", "show", "dlq list", "worker list")
MANY = 100_000


def plain(text):
    """Return what is on a screen without its colours."""
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


@pytest.fixture
def screen(spool):
    """Run a verb on a terminal to its end; return the lines."""

    def show(words, columns=80, env=None, path=None):
        shown = Screen(
            ["--spool", str(path or spool.path), *words.split()], columns=columns, env=env
        )
        text = shown.end()
        assert shown.code == 0, text
        return plain(text).splitlines()

    return show


@pytest.fixture
def seven(spoolq, spool, start_worker):
    """Seven jobs: of each state one, and with all that may break a table."""
    spoolq("enqueue", "--id", "long", "--max-retries", "0", "echo " + "x" * 200 + "; exit 3")
    spoolq("enqueue", "--id", "wide", "--max-retries", "0",
           "echo 漢字テスト🎉👩\u200d👩\u200d👧 e\u0301; exit 4")  # fmt: skip
    spoolq("enqueue", "--id", "turned", "--name", "גיבוי \u202eexe", "echo 'שלום' \u2066x")
    spoolq("enqueue", "--id", "again", "--backoff-base", "5000", "--tag", "t", "exit 1")
    worker = start_worker()
    wait_until(lambda: entries(spool, "failed") and len(entries(spool, "dead")) == 2)
    spoolq("enqueue", "--id", "running", "sleep 100")
    wait_until(lambda: entries(spool, "processing"))
    spoolq("enqueue", "--id", "later", "--in", "2d", "backup", "/srv")
    with open(os.path.join(spool.path, "dead", "no job.json"), "w") as file:
        file.write('{"command": "x",\n "priority": 99}')
    yield spool
    spoolq("worker", "stop", "--now")
    worker.wait()


@pytest.fixture(scope="module")
def crowd(tmp_path_factory):
    """A spool of a hundred thousand jobs, each a file of its own."""
    from spoolq.spool import SpoolDir

    path = tmp_path_factory.mktemp("crowd") / "spool"
    SpoolDir.create(str(path)).close()
    end = instants.to_stamp(datetime(2026, 1, 1, tzinfo=timezone.utc))[:9]
    for number in range(MANY):
        state = ("pending", "completed", "completed", "dead")[number % 4]
        name = f"{end}{number:012}Z.p5.a1.job-{number}.json"
        name = f"20260101T{number % 24:02}{number % 60:02}{number % 59:02}{number:06}Z{name[22:]}"
        with open(path / state / name, "w") as file:
            file.write(f'{{"command": "echo {number}"}}')
    return path


@pytest.mark.parametrize("columns", [40, 80, 200])
def test_no_line_is_wider_than_the_terminal(screen, seven, columns):
    for verb in (*VERBS, "show long", "show wide", "show turned", "show again", "show running"):
        for line in screen(verb, columns):
            assert cell_len(line) <= columns, f"{verb}: {line}"


@pytest.mark.parametrize("columns", [40, 80, 200])
def test_an_empty_spool_says_what_to_do_next(screen, columns):
    assert "put a job in with: spoolq enqueue" in " ".join(
        " ".join(screen("status", columns)).split()
    )
    assert "spoolq enqueue 'echo hello'" in " ".join(screen("list", columns))
    assert any("nothing is dead" in line for line in screen("dlq list", columns))
    for verb in ("status", "list"):
        assert all(len(line) <= max(columns, 60) for line in screen(verb, columns))


def test_states_ids_and_reasons_stand_in_columns(screen, seven):
    lines = screen("list")
    for job_id, state in (
        ("long", "dead"),
        ("wide", "dead"),
        ("turned", "completed"),
        ("again", "failed"),
        ("running", "processing"),
        ("later", "pending"),
    ):
        (line,) = (line for line in lines if line.startswith(f"{job_id} "))
        assert line.index(state) == lines[0].index("STATE")
    text = "\n".join(lines)
    assert "[exit code 3] echo" in text
    assert re.search(r"again +failed +1/4 +retry in 1 h 2\d m", text)
    assert re.search(r"later +pending +0/4 +in (2 d|1 d 23 h) +backup /srv", text)
    assert re.search(r"turned +completed +1/4 +(\d+ s ago|just now)", text)
    assert re.search(r"no job.json  +dead ", text)


def test_nothing_turns_the_reading_direction(screen, seven):
    for verb in (*VERBS, "show turned"):
        text = "\n".join(screen(verb, 200))
        assert not set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200d") & set(text)
    assert "\\u202eexe" in text


def test_a_wide_terminal_has_room_for_more(screen, seven):
    assert "TOOK" not in screen("list", 80)[0]
    lines = screen("list", 200)
    assert lines[0].split() == ["ID", "STATE", "TRY", "WHEN", "TOOK", "TAGS", "COMMAND"]
    assert screen("dlq list", 200)[0].split() == ["ID", "TRY", "WHEN", "WHY", "COMMAND"]
    assert "COMMAND" in screen("list", 40)[0] and "WHEN" not in screen("list", 40)[0]


def test_dlq_list_says_why_with_the_last_line_that_was_printed(screen, seven):
    text = "\n".join(screen("dlq list", 200))
    assert "exit code 3: xxxx" in text
    assert "exit code 4: 漢字テスト🎉" in text
    assert "no job: line 2, column 14, field 'priority': must be from 0 to 9" in text
    assert "once more: spoolq dlq retry ID" in text


def test_status_tells_what_is_next(screen, seven):
    text = "\n".join(screen("status", 200))
    assert re.search(r"pending +1  the next in (2 d|1 d 23 h) \(.*\): backup /srv", text)
    assert re.search(r"failed +1  the next retry in 1 h 2\d m \(.*\): exit 1", text)
    assert "why: spoolq dlq list" in text
    assert "1 of 1 busy, up " in text
    assert re.search(r"  running attempt 1 of 4, for .* s: sleep 100", text)


def test_show_is_a_story_with_an_end(screen, seven):
    story = "\n".join(screen("show long", 200))
    assert (
        story.index("long is dead: exit code 3") < story.index("command") < story.index("enqueued")
    )
    assert story.index("attempt 1 ") < story.index("what attempt 1 printed")
    assert story.splitlines()[-1].startswith("next  nothing by itself;")
    assert re.search(r"attempt 1  .*  ran .* exit code 3  by ", story)
    assert re.search(
        r"next  attempt 2 of 4 in 1 h 2\d m, at 20", "\n".join(screen("show again", 200))
    )
    running = "\n".join(screen("show running", 200))
    assert re.search(r"attempt 1  \d\d:\d\d:\d\d  for .* s  by ", running)
    assert "next  if this attempt fails, attempt 2 follows after 2.0 s" in running
    assert "mend the file, then:  spoolq dlq retry 'no job.json'" in "\n".join(
        Screen(["--spool", seven.path, "show", "no job.json"]).end().splitlines()
    )


def test_show_tells_of_a_job_that_was_cancelled_while_it_waited(screen, spoolq):
    spoolq("enqueue", "--id", "x", "--in", "1h", "true")
    spoolq("cancel", "x")
    story = screen("show x", 100)
    (told,) = [line for line in story if "while it waited" in line]
    assert re.fullmatch(r" *then +\d\d:\d\d:\d\d  cancelled while it waited", told)
    assert not [line for line in story if re.search(r"attempt 0| ran ", line)]
    assert story[-1].startswith("next  nothing by itself; if it is wanted after all:")


def test_show_tells_the_latest_attempts_of_many(screen, spoolq, spool):
    spoolq("enqueue", "--id", "x", "true")
    (name,) = entries(spool, "pending")
    runs = [
        {
            "attempt": number,
            "started_at": f"2026-01-01T00:00:{number:02}Z",
            "finished_at": f"2026-01-01T00:02:{number:02}Z",
            "exit_code": 1,
            "worker": "w-1-a",
        }
        for number in range(1, 41)
    ]
    with open(os.path.join(spool.path, "pending", name), "w") as file:
        json.dump({"command": "true", "history": runs}, file)
    text = "\n".join(screen("show x"))
    assert "28 earlier ones; --json has them all" in text
    assert re.search(r"attempt 40  2026-01-01 .*  ran 2 m +exit code 1", text)
    assert "\n  attempt 1 " not in text
    assert "  attempt 1 " in spoolq("show", "x").out


def test_in_a_pipe_nothing_is_cut_and_a_job_has_one_line_that_stays(run_cli, seven):
    first = run_cli("list").stdout
    assert "x" * 200 in first
    assert len(first.splitlines()) == 8
    assert all("…" not in line for line in first.splitlines())
    assert run_cli("list").stdout == first
    dead = run_cli("dlq", "list").stdout
    assert dead.count("x" * 200) == 2  # what it printed, and the command
    assert run_cli("dlq", "list").stdout == dead


def test_without_colour_the_text_is_the_same(screen, seven):
    colored = screen("list", 200)
    bare = screen("list", 200, env={"NO_COLOR": "1"})
    assert [line.split()[:3] for line in colored] == [line.split()[:3] for line in bare]


@pytest.mark.parametrize("columns", [40, 80, 200])
def test_a_hundred_thousand_jobs_fit_a_screen(screen, crowd, columns):
    for verb in VERBS:
        lines = screen(verb, columns, path=crowd)
        assert len(lines) < 60
        assert all(cell_len(line) <= columns for line in lines if "warning" not in line)
    status = "\n".join(screen("status", columns, path=crowd))
    assert "completed   50000" in status
    assert "25000  why: spoolq dlq" in status
    for verb in ("list", "dlq list"):
        assert "the newest 50; --limit N shows more" in "\n".join(screen(verb, columns, path=crowd))


@pytest.mark.parametrize("encoding", ["latin-1", "ascii"])
def test_signs_that_the_terminal_cannot_show_are_plain_ones(screen, seven, encoding):
    text = "\n".join(screen("show long", env={"PYTHONIOENCODING": encoding}))
    assert "\\u2502" not in text and "  | xxx" in text
    assert "\\u2026" not in "\n".join(screen("list", env={"PYTHONIOENCODING": encoding}))
