"""The live view as a person has it: a real terminal, real keys, a real spool."""

import os
import signal
import time

import pytest

from spoolq import api, control, platform, roster, steering
from tests import given
from tests.cli.watch.terminal import LEFT, Terminal, termios
from tests.conftest import DEADLINE, entries, environment, wait_until


@pytest.fixture
def watch(spool):
    started = []

    def start(*args, **options):
        started.append(Terminal(["--spool", spool.path, "watch", *args], **options))
        return started[-1]

    yield start
    for each in started:
        each.close()


@pytest.fixture
def works(start_worker, spool):
    """Start a worker; at the end nothing is left of what it runs."""
    yield start_worker
    steering.stop(spool, [], interrupt=True)
    wait_until(lambda: not any(view.alive for view in roster.workers(spool)), "their end")
    control.recover_now(spool, orphans="end")


# --- what is on the screen ------------------------------------------------------------------------


def test_jobs_are_seen_to_come_run_and_end(watch, front, works):
    view = watch().until("no jobs yet", "no worker")
    front.enqueue("echo first; sleep 1; echo second; sleep 600", id="talks")
    view.until("NEXT 1", " talks", "due")
    works()
    view.until("RUNNING 1", "1 worker, 1 of 1 busy", "│ first")
    view.until("│ second").until(" 3 s ")
    front.enqueue("exit 3", id="fails", priority=9)
    front.cancel("talks")
    view.until("DEAD 1", "[cancelled]", "RETRIES 1", "[exit code 3] exit 3")
    assert view.type("q").end() == 0


@pytest.mark.parametrize("how", ["event", "looked for"])
def test_a_worker_that_is_killed_is_seen_to_be_gone(watch, front, works, tmp_path, how):
    (tmp_path / "sitecustomize.py").write_text(
        "from spoolq import platform\nplatform.pidfd_open = lambda pid: None\n"
        if how == "looked for"
        else ""
    )
    front.enqueue("sleep 600", id="x")
    worker = works()
    path = os.pathsep.join([str(tmp_path), environment()["PYTHONPATH"]])
    view = watch(PYTHONPATH=path).until("RUNNING 1", "1 of 1 busy")
    worker.kill()
    view.until("no worker", "gone; the next worker takes its jobs over")


def test_the_spool_is_paused_and_resumed_by_anybody(watch, spool):
    view = watch().until("no jobs yet")
    view.type("p").until(" PAUSED ", "workers take nothing new")
    assert spool.root.has("paused")
    os.unlink(os.path.join(spool.path, "paused"))
    view.until("spoolq", gone=[" PAUSED "])
    view.type("p").until(" PAUSED ").type("p").until("workers go on", gone=[" PAUSED "])


# --- keys -----------------------------------------------------------------------------------------


def test_output_is_followed_as_it_comes(watch, front, works, tmp_path):
    go = tmp_path / "go"
    front.enqueue(f"echo one; while ! test -e {go}; do sleep 0.05; done; echo two; sleep 600")
    works()
    view = watch().until("RUNNING 1").type("jl").until("one", "q back")
    go.write_text("")
    view.until("one\ntwo")
    view.type("\x1b").until("RUNNING 1")


def test_a_job_is_retried_and_cancelled(watch, front, spool):
    front.enqueue("true", id="x")
    view = watch().until("NEXT 1").type("jc").until("cancel x? y or n").type("n")
    view.until("nothing was cancelled").type("c").until("y or n").type("y")
    view.until("x: cancelled", "DEAD 1", "[cancelled]")
    assert len(entries(spool, "dead")) == 1
    view.type("r").until("x: runs again", "NEXT 1", gone=["DEAD"])


def test_a_running_job_is_cancelled(watch, front, works):
    front.enqueue("sleep 600", id="x")
    works()
    view = watch().until("RUNNING 1").type("jcy")
    view.until("x: cancelled", "DEAD 1")


def test_jobs_are_filtered(watch, front):
    for job_id in ("apple", "pear"):
        front.enqueue(f"echo {job_id}", id=job_id, tags=["fruit"])
    view = watch("--filter", "pea").until("filter: pea", " pear", gone=[" apple"])
    view.type("\x1b").until(" apple", " pear")
    view.type("/appl").until("/appl", " apple", gone=[" pear"])
    view.type("\r").until("filter: appl", "quit")
    view.type("/\x15fruit\r").until(" apple", " pear")
    view.type("/ nothing has this\r").until("no job has 'fruit nothing has this'")


def test_ctrl_l_draws_anew_and_answers_nothing(watch, front, spool):
    front.enqueue("true", id="x")
    view = watch().until("NEXT 1").type("jc").until("cancel x? y or n")
    before = view.written.count(b"\x1b[2J")
    view.type("\x0c")
    wait_until(lambda: view.read() or view.written.count(b"\x1b[2J") > before, "a picture")
    view.until("cancel x? y or n").type("y").until("x: cancelled", "DEAD 1")


def test_help_comes_and_goes(watch):
    view = watch().until("no jobs yet").type("?").until("follow its log", gone=["no jobs"])
    view.type("x").until("no jobs yet")


# --- the terminal ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("how", "code"),
    [("q", 0), ("\x03", 130), ("TERM", 143), ("HUP", 129), ("QUIT", 131)],
)
def test_the_terminal_is_given_back_at_every_end(watch, how, code):
    view = watch().until("no jobs yet")
    if len(how) == 1:
        view.type(how)
    else:
        view.process.send_signal(getattr(signal, f"SIG{how}"))
    assert view.end() == code


def test_the_terminal_is_given_back_after_a_bug(watch, spool, tmp_path):
    (tmp_path / "sitecustomize.py").write_text(
        "from spoolq.cli.watch import desk\n"
        "def broken(*_): raise RuntimeError('a bug')\n"
        "desk.Desk.press = broken\n"
    )
    path = os.pathsep.join([str(tmp_path), environment()["PYTHONPATH"]])
    view = watch(PYTHONPATH=path).until("no jobs yet").type("x")
    wait_until(lambda: view.read() or view.process.poll() is not None, "its end")
    while view.process.poll() is None or view.read():
        view.read()
    assert view.process.returncode == 3
    assert termios.tcgetattr(view.child) == view.before
    written = view.written.decode()
    assert LEFT in written.split("a bug")[0]  # before the words, which stay to be read


def test_where_there_is_only_ascii_it_is_drawn_in_that(watch, front):
    front.enqueue("echo é" + "x" * 99, id="x")
    view = watch(PYTHONIOENCODING="ascii").until("echo ?xx").type("j").until(">x")
    assert view.type("q").end() == 0
    assert view.written.isascii()


def test_every_size_is_filled_and_none_is_left_ugly(watch, front):
    for number in range(40):
        front.enqueue("echo " + "日本\u202e\x1b[31m" * 30, id=f"job{number}")
    view = watch()
    for columns, lines in ((100, 30), (20, 5), (300, 100), (80, 24), (21, 6), (1, 1), (100, 30)):
        view.resize(columns, lines)
        if columns >= 20:
            shown = min(40, lines - 4)
            view.until("spoolq", f"job{min(shown, 3) - 1}"[:4], "?")
            wait_until(lambda: view.read() or view.text.splitlines()[-1].startswith("?"))
            assert len(view.text.splitlines()) == lines
            assert "\x1b[31m日" not in view.text
    assert view.type("q").end() == 0


def test_a_terminal_that_is_closed_ends_the_view(spool):
    view = Terminal(["--spool", spool.path, "watch"])
    view.until("no jobs yet")
    os.close(view.child)
    os.close(view.parent)
    assert view.process.wait(DEADLINE) == 129


# --- events, not polling --------------------------------------------------------------------------


def sleeps(view):
    """How often it has gone to sleep so far: each wake-up is followed by one."""
    with open(f"/proc/{view.process.pid}/status") as file:
        fields = dict(line.split(":", 1) for line in file)
    return int(fields["voluntary_ctxt_switches"])


def quiet(view, seconds):
    """Wait until it has slept for so long without waking up once."""
    deadline = time.monotonic() + DEADLINE
    before, since = sleeps(view), time.monotonic()
    while time.monotonic() - since < seconds:
        assert time.monotonic() < deadline, f"it does not rest:\n{view.text}"
        if view.read(0.05) or sleeps(view) != before:
            before, since = sleeps(view), time.monotonic()


@pytest.mark.skipif(not platform.LINUX, reason="/proc, inotify and pidfd")
@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="the end of a worker is looked for")
def test_a_view_of_a_spool_that_rests_does_not_wake_up(watch, front, spool, works, clock):
    given.job(spool, "dead", given.named(clock, "long-ago", 1))
    front.enqueue("true", id="later", run_at=time.time() + 90_000)
    works()
    view = watch().until("1 worker, 0 of 1 busy", " later", " long-ago")
    quiet(view, 2.5)  # it would look once a second where it polled
    front.enqueue("sleep 600", id="comes")
    view.until("RUNNING 1")  # and is awake at once


@pytest.mark.skipif(not platform.LINUX, reason="events can be taken away")
def test_without_events_it_looks_once_a_second_and_says_so(watch, front, tmp_path):
    (tmp_path / "sitecustomize.py").write_text(
        "from spoolq import platform\nplatform.network_filesystem = lambda path: 'nfs4'\n"
    )
    path = os.pathsep.join([str(tmp_path), environment()["PYTHONPATH"]])
    view = watch(PYTHONPATH=path).until("no jobs yet", "looking once a second")
    front.enqueue("true", id="comes")
    view.until(" comes")


# --- what can go wrong ----------------------------------------------------------------------------


def test_a_spool_that_vanishes_and_comes_again_is_told_of(watch, spool, front):
    front.enqueue("true", id="x")
    view = watch().until(" x ").type("p").until(" PAUSED ")
    view.type("p").until("workers go on", gone=[" PAUSED "])
    os.rename(spool.path, spool.path + ".away")
    view.until("is gone", "q quit")
    other = api.Spool(spool.path, create=True)
    other.enqueue("true", id="other")
    other.close()
    view.until(" other", "quit", gone=[" x ", "workers go on"])
    assert view.type("q").end() == 0


@pytest.mark.parametrize("name", ["pending", "completed", "workers", "logs"])
def test_a_directory_that_vanishes_is_a_message(watch, spool, front, name):
    front.enqueue("true", id="x")
    view = watch().until("x due")
    view.type("j\r").until("it has not run yet").type("q").until("x due")
    os.rename(os.path.join(spool.path, name), os.path.join(spool.path, "elsewhere"))
    open(os.path.join(spool.path, "paused"), "w").close()
    view.until("cannot be seen" if name == "workers" else "No such file or directory")
    assert name in view.text.replace("\n", "")
    os.rename(os.path.join(spool.path, "elsewhere"), os.path.join(spool.path, name))
    view.until("x due", "PAUSED")
    assert view.type("q").end() == 0


@pytest.mark.skipif(platform.effective_user() == 0, reason="root may read everything")
def test_what_may_not_be_read_is_a_message(watch, spool, front):
    front.enqueue("true", id="x")
    view = watch().until("x due")
    os.chmod(os.path.join(spool.path, "pending"), 0o300)
    try:
        spool.root.write("paused", b"", sync=False)  # something happens
        view.until("Permission denied", "q quit")
        refused = watch()
        assert refused.end() == 1
        assert "Permission denied" in refused.written.decode()
    finally:
        os.chmod(os.path.join(spool.path, "pending"), 0o700)
    view.until("x due")
    assert view.type("q").end() == 0
