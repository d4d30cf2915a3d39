"""The limits of the server, and how it starts and ends: attacked by raw sockets."""

import signal
import socket
import subprocess
import sys
import time

import pytest

from spoolq.dashboard import serve
from tests.conftest import DEADLINE, environment, wait_until
from tests.dashboard.conftest import Visitor


def connected(visitor):
    return socket.create_connection((visitor.host, visitor.port), timeout=DEADLINE)


def status(answer):
    return int(answer.split(b" ", 2)[1])


def head(visitor, *lines):
    own = f"Host: {visitor.host}:{visitor.port}".encode()
    return b"\r\n".join([b"GET / HTTP/1.1", own, b"Cookie: " + visitor.cookie.encode(), *lines])


# --- sizes ----------------------------------------------------------------------------------------


def test_a_long_request_line_is_refused(visitor):
    assert visitor.get("/jobs?q=" + "x" * serve.MOST_HEADER).status == 431
    assert visitor.get("/jobs?q=" + "x" * 1000).status == 200


def test_many_headers_are_refused(visitor):
    many = {f"X-{number}": "y" * 100 for number in range(serve.MOST_HEADER // 100)}
    assert visitor.ask("GET", "/", many).status == 431


def test_a_head_without_an_end_is_refused_before_it_is_kept(visitor):
    """What never ends is cut off at the limit, and not when memory is full."""
    with connected(visitor) as connection:
        sent = 0
        try:
            connection.sendall(b"GET / HTTP/1.1\r\nX: ")
            for _ in range(200):
                connection.sendall(b"y" * 8192)
                sent += 8192
        except (BrokenPipeError, ConnectionResetError):
            return
        answer = connection.recv(4096)
    assert status(answer) == 431


@pytest.mark.parametrize("told", [True, False])
def test_a_large_body_is_refused(visitor, told):
    body = b"csrf=" + b"x" * (serve.MOST_BODY + 1)
    headers = {"Origin": visitor.own, "Content-Type": "application/x-www-form-urlencoded"}
    if told:
        answer = visitor.ask("POST", "/pause", headers, body)
        assert answer.status == 413
        return
    head = (
        f"POST /pause HTTP/1.1\r\nHost: {visitor.host}:{visitor.port}\r\n"
        f"Cookie: {visitor.cookie}\r\nOrigin: {visitor.own}\r\nTransfer-Encoding: chunked\r\n"
        "Content-Type: application/x-www-form-urlencoded\r\n\r\n"
    )
    assert status(visitor.raw(head.encode() + b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body))) == 413


@pytest.mark.parametrize(
    "lines",
    [
        [b"Content-Length: x", b"", b""],
        [b"Content-Length: -1", b"", b""],
        [b"Content-Length: 99999999999999999999", b"", b""],
        [b"Content-Length: 3", b"Content-Length: 4", b"", b"abc"],
        [b"Transfer-Encoding: gzip", b"", b""],
        [b"X\0: y", b"", b""],
        [b"no colon", b"", b""],
    ],
    ids=repr,
)
def test_what_is_no_http_is_refused(visitor, lines):
    assert status(visitor.raw(head(visitor, *lines))) in (400, 413, 501)
    assert visitor.get("/").status == 200


def test_nonsense_does_not_stop_it(visitor):
    for data in (
        b"\0" * 100,
        b"\r\n" * 50,
        b"GET\r\n\r\n",
        b"\x16\x03\x01\x02\x00",
        b"PRI * HTTP/2.0\r\n\r\n",
    ):
        visitor.raw(data)
    assert visitor.get("/").status == 200


# --- time -----------------------------------------------------------------------------------------

QUICK = 2.0  # seconds that a request may take, in these tests


@pytest.fixture
def impatient(spool, tmp_path):
    """A dashboard that waits for nobody longer than QUICK seconds, and takes six connections."""
    script = (
        "import sys; from spoolq import api; from spoolq.dashboard import serve\n"
        f"serve.LONGEST, serve._CLEANUP, serve.MOST_CONNECTIONS = {QUICK}, 1, 8\n"
        "server = serve.listen(api.Spool(sys.argv[1]), '127.0.0.1', 0)\n"
        "print(server.url, flush=True); server.run()\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script, spool.path],
        stdout=subprocess.PIPE,
        text=True,
        env=environment(),
    )
    visitor = Visitor(process.stdout.readline().strip())
    visitor.login()
    yield visitor
    process.terminate()
    process.wait(DEADLINE)
    process.stdout.close()


def is_closed(connection):
    """Say whether the other side has closed; what it sent before is dropped."""
    connection.setblocking(False)
    try:
        while connection.recv(65536):
            pass
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True


def drip(connection, data):
    try:
        connection.setblocking(True)
        connection.sendall(data)
    except OSError:
        pass


def test_a_head_that_comes_in_drops_is_cut_off(impatient):
    """Slowloris: each drop is activity, and none of them buys time."""
    with connected(impatient) as connection:
        began = time.monotonic()
        connection.sendall(head(impatient, b"X-Drops: "))

        def closed():
            drip(connection, b"y")
            return is_closed(connection)

        wait_until(closed, "the end of a dripping connection")
        assert time.monotonic() - began > QUICK / 2


def test_a_body_that_comes_in_drops_is_cut_off(impatient):
    with connected(impatient) as connection:
        connection.sendall(
            f"POST /pause HTTP/1.1\r\nHost: {impatient.host}:{impatient.port}\r\n"
            "Content-Length: 10000\r\n\r\n".encode()
        )

        def closed():
            drip(connection, b"x")
            return is_closed(connection)

        wait_until(closed, "the end of a dripping connection")


def test_a_connection_that_says_nothing_is_cut_off(impatient):
    with connected(impatient) as connection:
        wait_until(lambda: is_closed(connection), "the end of a silent connection")


def test_who_takes_nothing_of_a_long_answer_is_cut_off(impatient, spool):
    """The kernel's buffers are full, so that the socket never becomes writable again."""
    log = "abc.a1.20261124T020646123456Z.log"
    with open(f"{spool.path}/logs/{log}", "wb") as file:
        file.write(b"x" * 100_000)
    path = b"GET /job/abc/log/a1.20261124T020646123456Z HTTP/1.1"
    request = head(impatient, b"", b"").replace(b"GET / HTTP/1.1", path)
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        connection.connect((impatient.host, impatient.port))
        connection.sendall(request * 100)
        wait_until(lambda: is_reset(connection), "the end of a greedy connection")
    assert impatient.get("/").status == 200


def is_reset(connection):
    """Say whether the other side has given up on a connection of which nothing is read."""
    try:
        connection.getpeername()
    except OSError:
        return True
    return False


def test_those_who_dawdle_keep_nobody_out_for_long(impatient):
    """All connections are taken by dawdlers; when they are cut off, others are served."""
    dawdlers = [connected(impatient) for _ in range(12)]
    try:
        for connection in dawdlers:
            drip(connection, b"GET / HTTP/1.1\r\n")
        assert impatient.get("/").status == 200
    finally:
        for connection in dawdlers:
            connection.close()


def test_no_more_connections_are_taken_than_the_limit(impatient):
    crowd = [connected(impatient) for _ in range(40)]
    try:
        # The others wait in the kernel's queue: they cost the server no descriptor.
        wait_until(lambda: impatient.get("/").status == 200)
        assert serve.MOST_CONNECTIONS <= 100
    finally:
        for connection in crowd:
            connection.close()


# --- start and end --------------------------------------------------------------------------------


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_a_signal_ends_it(start_dashboard, number, code):
    visitor = start_dashboard()
    visitor.login()
    visitor.page("/")
    visitor.process.send_signal(number)
    assert visitor.process.wait(DEADLINE) == code
    assert "Traceback" not in visitor.said()
    with pytest.raises(OSError):
        connected(visitor)


def test_a_signal_ends_it_while_connections_are_open(visitor):
    with connected(visitor) as idle, connected(visitor) as half:
        half.sendall(b"GET / HTTP/1.1\r\n")
        idle.sendall(head(visitor, b"", b""))
        assert idle.recv(100).startswith(b"HTTP/1.1 200")
        visitor.process.send_signal(signal.SIGTERM)
        assert visitor.process.wait(DEADLINE) == 0


def test_the_address_alone_goes_to_standard_output(start_dashboard, spool):
    visitor = start_dashboard()
    visitor.process.send_signal(signal.SIGTERM)
    assert visitor.process.stdout.read() == ""
    assert visitor.url == f"http://127.0.0.1:{visitor.port}/?token={visitor.token}"
    assert spool.path in visitor.said()
    assert visitor.token not in visitor.said()


def test_a_port_that_is_in_use_is_said(start_dashboard, run_cli):
    port = start_dashboard().port
    done = run_cli("dashboard", "--port", str(port), check=False)
    assert done.returncode == 75
    assert f"port {port} of 127.0.0.1 is in use" in done.stderr
    assert "--port 0" in done.stderr


def test_a_host_that_is_none_is_refused(run_cli):
    done = run_cli("dashboard", "--host", "no.such.host.invalid", check=False)
    assert done.returncode == 2
    assert "there is no address" in done.stderr


def test_without_a_spool_there_is_no_dashboard(run_cli, tmp_path):
    done = run_cli("dashboard", "--port", "0", spool_path=tmp_path / "none", check=False)
    assert done.returncode == 1
    assert "there is no spool" in done.stderr


@pytest.mark.parametrize(("module", "name"), [("flask", "Flask"), ("waitress", "waitress")])
def test_without_its_libraries_it_says_how_to_install_them(spool, module, name):
    script = (
        f"import sys; sys.modules[{module!r}] = None\n"
        "from spoolq.cli.main import main; main(sys.argv[1:])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, "--spool", spool.path, "dashboard"],
        capture_output=True,
        text=True,
        env=environment(),
        timeout=DEADLINE,
    )
    assert done.returncode == 1
    assert f"the dashboard needs {name}" in done.stderr
    assert "pip install 'spoolq[dashboard]'" in done.stderr
    assert "Traceback" not in done.stderr


def test_ipv6_has_its_names(start_dashboard):
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        pytest.skip("no IPv6 here")
    visitor = start_dashboard("--host", "::1")
    assert visitor.url.startswith("http://[::1]:")
    host = f"[::1]:{visitor.port}"
    answer = visitor.ask("GET", f"/?token={visitor.token}", host=host)
    assert answer.status == 303
