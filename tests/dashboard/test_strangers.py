"""Who has no token cannot keep the user out, nor stop the server: attacked by raw sockets."""

import logging
import signal
import subprocess
import sys
import time

import flask
import pytest
from werkzeug.datastructures import MultiDict

from spoolq import api, control
from spoolq.dashboard import actions, serve
from spoolq.errors import Busy
from tests.conftest import DEADLINE, environment, wait_until
from tests.dashboard.conftest import Visitor
from tests.dashboard.test_serve import QUICK, connected, drip, head, impatient, is_closed, status

__all__ = ["impatient"]


@pytest.mark.parametrize(
    "data",
    [
        b"\r\n",
        b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: %b\r\n\r\n",
        b"G",
    ],
    ids=repr,
)
def test_nothing_that_a_stranger_sends_keeps_a_connection(impatient, data):
    own = f"{impatient.host}:{impatient.port}".encode()
    with connected(impatient) as connection:

        def closed():
            drip(connection, data.replace(b"%b", own))
            return is_closed(connection)

        wait_until(closed, "the end of a stranger's connection")


def test_who_is_refused_is_shown_out(visitor):
    cookie, visitor.cookie = visitor.cookie, "x=y"
    with connected(visitor) as connection:
        connection.sendall(head(visitor, b"", b""))
        answer = connection.recv(4096)
        assert status(answer) == 403
        assert b"\r\nConnection: close\r\n" in answer
        wait_until(lambda: is_closed(connection), "the end of a refused connection")
    visitor.cookie = cookie


def test_who_is_let_in_keeps_the_connection(visitor):
    with connected(visitor) as connection:
        for _ in range(3):
            connection.sendall(head(visitor, b"", b"").replace(b"GET /", b"HEAD /static/icon.svg"))
            answer = connection.recv(65536)
            assert status(answer) == 200
            assert b"Connection: close" not in answer


def test_a_connection_in_use_outlasts_the_limit(impatient):
    """Each answer begins its time anew."""
    until = time.monotonic() + 2 * QUICK
    with connected(impatient) as connection:
        while time.monotonic() < until:
            connection.sendall(
                head(impatient, b"", b"").replace(b"GET /", b"HEAD /static/icon.svg")
            )
            assert status(connection.recv(65536)) == 200


@pytest.mark.parametrize("data", [b"", b"\r\n", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"], ids=repr)
def test_a_crowd_of_strangers_keeps_nobody_out(visitor, data):
    """As many as the limit and more, each of which sends something again and again."""
    crowd = [connected(visitor) for _ in range(serve.MOST_CONNECTIONS + 50)]
    try:
        for _ in range(3):
            for number, connection in enumerate(crowd):
                drip(connection, data)
                if is_closed(connection):
                    connection.close()
                    crowd[number] = connected(visitor)
            began = time.monotonic()
            assert visitor.get("/").status == 200
            assert time.monotonic() - began < serve.LONGEST / 2
    finally:
        for connection in crowd:
            connection.close()


def test_who_comes_while_all_others_are_being_answered_waits_for_room(spool, tmp_path):
    """Found by a crowd that had sent all it had: who came next was the only one to be cut off."""
    called, go = tmp_path / "called", tmp_path / "go"
    called.mkdir()
    script = (
        "import os, sys, time; from spoolq import api; from spoolq.dashboard import serve\n"
        "serve.MOST_CONNECTIONS = serve.THREADS = 8\n"
        "def slow(environ, start_response):\n"
        "    open(os.path.join(sys.argv[2], environ['PATH_INFO'][1:]), 'w').close()\n"
        "    while not os.path.exists(sys.argv[3]):\n"
        "        time.sleep(0.01)\n"
        "    start_response('200 OK', [('Content-Length', '0')])\n"
        "    return []\n"
        "serve.Guard = lambda *args, **kwargs: slow\n"
        "server = serve.listen(api.Spool(sys.argv[1]), '127.0.0.1', 0)\n"
        "print(server.url, flush=True); server.run()\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script, spool.path, str(called), str(go)],
        stdout=subprocess.PIPE,
        text=True,
        env=environment(),
    )
    visitor = Visitor(process.stdout.readline().strip())
    others = [connected(visitor) for _ in range(5)]  # with two of the server's own, room for one
    try:
        for number, other in enumerate(others):
            other.sendall(b"GET /%d HTTP/1.0\r\n\r\n" % number)
        wait_until(lambda: len(list(called.iterdir())) == len(others), "all to be heard")
        with connected(visitor) as last:
            last.sendall(b"GET /last HTTP/1.0\r\n\r\n")
            wait_until((called / "last").exists, "the last to be heard")
            go.touch()
            assert status(last.recv(4096)) == 200
    finally:
        for other in others:
            other.close()
        process.terminate()
        process.wait(DEADLINE)
        process.stdout.close()


def test_a_crowd_leaves_the_terminal_alone(start_dashboard):
    visitor = start_dashboard()
    visitor.login()
    before = visitor.said()
    with connected(visitor) as connection:
        connection.sendall(head(visitor, b"", b"") * 30)
        crowd = [connected(visitor) for _ in range(serve.MOST_CONNECTIONS + 10)]
        for other in crowd:
            drip(other, head(visitor, b"", b""))
        for other in crowd:
            other.close()
    wait_until(lambda: visitor.get("/").status == 200)
    assert visitor.said() == before


def test_a_long_address_to_go_back_to_holds_nobody_up(visitor):
    """A pattern that tries every way to divide it would take years for forty characters."""
    for back in ("/" + "a" * 28 + "!", "/" + "a" * 1990 + "!", "/" + "a/" * 990 + "!"):
        began = time.monotonic()
        answer = visitor.post("/pause", [("back", back)])
        assert answer.headers["location"].startswith("/?note=")
        assert time.monotonic() - began < DEADLINE / 4


def test_a_second_signal_does_not_change_how_it_ends(start_dashboard):
    for wait in (0.0, 0.005, 0.02, 0.05, 0.1):
        visitor = start_dashboard()
        visitor.login()
        visitor.process.send_signal(signal.SIGINT)
        time.sleep(wait)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            if visitor.process.poll() is None and wait:
                visitor.process.send_signal(number)
        assert visitor.process.wait(DEADLINE) == 130
        assert "Traceback" not in visitor.said()


def test_many_stubborn_jobs_are_cancelled_with_one_patience(spool, clock, monkeypatch):
    now, asked = [0.0], []

    def never_ends(_, job_id, *, timeout):
        asked.append(job_id)
        now[0] += timeout
        raise Busy("it goes on")

    monkeypatch.setattr(actions.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(control, "cancel", never_ends)
    ids = [f"j{number}" for number in range(50)]
    with api.Spool(spool.path) as front:
        verbs = actions.Actions(lambda: front, lambda: None)
        form = [("id", job_id) for job_id in ids]
        with flask.Flask(__name__).test_request_context(method="POST", data=MultiDict(form)):
            assert verbs.cancel().status_code == 303
    assert asked == ids
    assert now[0] <= actions._PATIENCE + actions._LEAST * len(ids)


def test_what_fails_in_the_server_itself_is_told(caplog, monkeypatch):
    waitress = logging.getLogger("waitress")
    monkeypatch.setattr(waitress, "propagate", False)
    with caplog.at_level("WARNING", logger="spoolq"):
        waitress.warning("Task queue depth is 7")
        waitress.error("Exception while serving /")
    assert caplog.messages == ["Exception while serving /"]


def test_a_terminal_hears_of_what_breaks_all_the_same(spool):
    """What waitress says of its load is dropped; what a page breaks by is told."""
    script = (
        "import sys; from spoolq import api, logs; from spoolq.dashboard import app, guard\n"
        "logs.configure()\n"
        "app.lists.page = None\n"
        "keys = guard.Keys.new()\n"
        "wsgi = app.make(api.Spool(sys.argv[1]), keys, read_only=True)\n"
        "environ = {'REQUEST_METHOD': 'GET', 'PATH_INFO': '/jobs', 'SERVER_NAME': 'x',\n"
        "           'SERVER_PORT': '1', 'wsgi.url_scheme': 'http', 'wsgi.input': None}\n"
        "print(list(wsgi(environ, lambda status, *_: print(status)))[0][:0])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, spool.path],
        capture_output=True,
        text=True,
        env=environment(),
        timeout=DEADLINE,
    )
    assert done.stdout.startswith("500"), done.stderr
    assert "this is a bug in spoolq" in done.stderr
