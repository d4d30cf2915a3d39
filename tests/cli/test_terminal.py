"""What a person sees: the same program with a terminal on its streams."""

import os
import select
import signal
import subprocess
import sys
import time

import pytest

from tests.conftest import DEADLINE, entries, environment

pty = pytest.importorskip("pty")


class Screen:
    """A spoolq on a terminal; keeps everything that was written to it."""

    def __init__(self, args, *, stdin=None, env=None, columns=80):
        self._parent, child = pty.openpty()
        subprocess.run(["stty", "cols", str(columns), "rows", "24"], stdin=child, check=True)
        variables = environment(TERM="xterm")
        for name in ("NO_COLOR", "COLUMNS", "LINES"):
            variables.pop(name, None)
        variables.update(env or {})
        self.process = subprocess.Popen(
            [sys.executable, "-m", "spoolq", *args],
            stdin=subprocess.PIPE if stdin is not None else child,
            stdout=child,
            stderr=child,
            env=variables,
            start_new_session=True,
        )
        os.close(child)
        self.text = ""
        if stdin is not None:
            self.process.stdin.write(stdin)
            self.process.stdin.close()

    def until(self, words):
        """Read until these words are on the screen, or to the end where they are None."""
        deadline = time.monotonic() + DEADLINE
        while words is None or words not in self.text:
            assert time.monotonic() < deadline, f"no {words!r} in {self.text!r}"
            if not select.select([self._parent], [], [], 0.1)[0]:
                continue
            try:
                data = os.read(self._parent, 65536)
            except OSError:
                data = b""
            if not data:
                assert words is None, f"no {words!r} in {self.text!r}"
                break
            self.text += data.decode("utf-8", "replace")
        return self

    def type(self, text):
        os.write(self._parent, text.encode())

    def interrupt(self):
        """Press Ctrl+C as a person does: again where it came a moment too early to be felt."""
        while self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            try:
                self.process.wait(0.5)
            except subprocess.TimeoutExpired:
                continue
        return self.end()

    def end(self):
        """Wait for its end; return all that was written."""
        self.until(None)
        os.close(self._parent)
        self.code = self.process.wait()
        return self.text.replace("\r\n", "\n")


@pytest.fixture
def screen(spool):
    started = []

    def start(*args, **options):
        started.append(Screen(["--spool", spool.path, *args], **options))
        return started[-1]

    yield start
    for each in started:
        each.process.kill()
        each.process.wait()


def test_enqueue_names_the_spool_and_tells_how_to_start_a_worker(screen, spool):
    text = screen("enqueue", "--id", "x", "true").end()
    assert text == (
        f"x\n1 job enqueued in {spool.path}\n"
        "no worker runs here; start one with:  spoolq worker start --count 1\n"
    )


def test_enqueue_says_nothing_of_workers_where_one_is(screen, spool, start_worker):
    start_worker()
    text = screen("enqueue", "--id", "x", "true").end()
    assert text == f"x\n1 job enqueued in {spool.path}\n"


def test_enqueue_sees_that_a_worker_has_died(screen, start_worker):
    worker = start_worker()
    worker.kill()
    worker.wait()
    assert "no worker runs here" in screen("enqueue", "true").end()


def test_enqueue_says_when_the_directory_is_not_there(screen, start_worker, tmp_path):
    start_worker()
    missing = tmp_path / "nowhere"
    assert f"no directory {missing} here" in screen("enqueue", "--cwd", missing, "true").end()
    missing.mkdir()
    assert "no directory" not in screen("enqueue", "--cwd", missing, "true").end()


def test_bulk_enqueue_shows_progress_and_takes_it_away(screen, spool):
    text = screen("enqueue", "-", stdin=b"true\n" * 3000).end()
    assert "reading" in text
    assert f"3000 jobs enqueued in {spool.path}\n" in text
    assert len(entries(spool, "pending")) == 3000


def test_list_shows_the_newest_50_and_says_so(screen, spoolq):
    spoolq("enqueue", "-", stdin=b"".join(b"echo %d\n" % n for n in range(60)))
    text = screen("list").end()
    assert text.count("pending") == 50
    assert "echo 59" in text
    assert "echo 9 " not in text
    assert "the newest 50; --limit N shows more" in text
    assert "\x1b[33mpending\x1b[0m" in text


def test_list_fits_into_the_width_of_the_terminal(screen, spoolq):
    spoolq("enqueue", "echo " + "x" * 500)
    text = screen("list", columns=60, env={"NO_COLOR": "1"}).end()
    assert max(len(line) for line in text.splitlines()) <= 60
    assert "…" in text


def test_colour_can_be_switched_off_and_on(screen, spoolq, run_cli):
    spoolq("enqueue", "true")
    assert "\x1b[" not in screen("status", env={"NO_COLOR": "1"}).end()
    assert "\x1b[33m" in screen("status").end()
    assert "\x1b[" not in run_cli("status").stdout
    assert "\x1b[33m" in run_cli("--color", "always", "status").stdout
    assert "\x1b[33m" in run_cli("list", "--color", "always").stdout


def test_a_long_id_leaves_room_for_the_command(screen, spoolq):
    spoolq("enqueue", "--id", "x" * 64, "echo hello")
    text = screen("list", "--color", "never", columns=80).end()
    assert "x…  pending  0/4  due   echo hello" in text


def test_what_is_done_to_a_job_names_the_spool(screen, spoolq, spool):
    spoolq("enqueue", "--id", "x", "true")
    assert screen("cancel", "x").end() == f"x: cancelled in {spool.path}\n"
    assert screen("dlq", "retry", "x").end() == f"x: runs again in {spool.path}\n"


def test_markup_in_a_command_is_text(screen, spoolq):
    spoolq("enqueue", "echo [bold]x[/bold] :smile:")
    assert "echo [bold]x[/bold] :smile:" in screen("list").end()


def test_logs_on_a_terminal_keep_colours_and_nothing_else(screen, spoolq, start_worker):
    spoolq("enqueue", r"printf '\033[31mred\033[0m \033[2J\033]0;title\007 \033[32mgreen\n'")
    assert start_worker("--drain").wait() == 0
    text = screen("logs").end()
    assert text == "\x1b[31mred\x1b[0m \\x1b[2J\\x1b]0;title\\x07 \x1b[32mgreen\n\x1b[0m"
    text = screen("logs", env={"NO_COLOR": "1"}).end()
    assert "red \\x1b[2J" in text


def test_purge_asks_first(screen, spoolq, spool):
    spoolq("enqueue", "true")
    spoolq("cancel", "last")
    asked = screen("dlq", "purge").until("[y/N]")
    asked.type("n\n")
    assert "nothing was removed" in asked.end()
    assert asked.code == 1
    asked = screen("dlq", "purge").until("[y/N]")
    asked.interrupt()
    assert asked.code == 130
    assert len(entries(spool, "dead")) == 1
    asked = screen("dlq", "purge").until("[y/N]")
    asked.type("y\n")
    assert "removed 1 job" in asked.end()


def test_wait_shows_a_bar(screen, spoolq, start_worker):
    spoolq("enqueue", "--id", "x", "true")
    waiting = screen("wait").until("0/1").until("no worker runs here")
    start_worker()
    waiting.end()
    assert waiting.code == 0


def test_ctrl_c_in_wait_leaves_a_clean_screen(screen, spoolq):
    spoolq("enqueue", "true")
    waiting = screen("wait").until("no worker runs here")
    text = waiting.interrupt()
    assert waiting.code == 130
    assert "Traceback" not in text
    assert "\x1b[?25h" in text  # the cursor is shown again


def test_ctrl_c_in_a_workers_terminal_stops_it(screen, spoolq, spool):
    spoolq("enqueue", "--id", "x", "sleep 0.5")
    worker = screen("worker", "start").until("attempt 1 of 4")
    worker.process.send_signal(signal.SIGINT)
    text = worker.end()
    assert worker.code == 0
    assert "stopping: 1 running" in text
    assert len(entries(spool, "completed")) == 1


def test_jobs_can_be_typed_line_by_line(screen, spool):
    typed = screen("enqueue", "-").until("one job a line")
    typed.type("echo one\necho two\n\x04")
    assert "2 jobs enqueued" in typed.end()


def test_errors_are_red_on_a_terminal(screen):
    text = screen("show", "nope").end()
    assert "\x1b[31;1mError:\x1b[0m there is no job" in text
