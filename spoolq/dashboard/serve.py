"""The socket and the limits: waitress, held to what one user's browser needs.

waitress reads a request whole before it is answered, and what it cannot read it refuses itself.
Its timeout is for connections that rest, and whatever comes in ends the rest. Here nothing does but
an answer to a request that the guard has let in, taken whole: who dawdles (slowloris) is cut off
LONGEST seconds after the last of those, and who is refused at once. Where there are too many
connections, the oldest one of a stranger makes room.

Assumed: one user, a few pages. Nothing here is meant for the open net.
"""

from __future__ import annotations

import errno
import ipaddress
import logging
import re
import signal
import socket
import threading
from typing import List, Optional
from urllib.parse import urlsplit

from waitress.channel import HTTPChannel
from waitress.parser import HTTPRequestParser, ParsingError
from waitress.server import TcpWSGIServer
from waitress.task import ErrorTask, WSGITask

from spoolq import api
from spoolq.dashboard.app import make
from spoolq.dashboard.guard import HEADERS, LET_IN, Guard, Keys, Place
from spoolq.errors import BadInput, Busy, StorageFailed
from spoolq.logs import logger

LONGEST = 20  # seconds that a request may take to come in whole, and an answer to be taken
MOST_CONNECTIONS = 100
MOST_HEADER = 16 * 1024  # bytes, the request line included
MOST_BODY = 16 * 1024
THREADS = 4
_CLEANUP = 2  # seconds between two looks for connections to cut off


class _Failures(logging.Handler):
    """Tells what fails in waitress, or in the guard, as our own log lines.

    It also tells of requests that wait for a moment and of connections that are cut off, which any
    stranger can bring about; nobody need hear of those.
    """

    def emit(self, record: logging.LogRecord) -> None:
        logger.handle(record)


logging.getLogger("waitress").addHandler(_Failures(logging.ERROR))


class _ErrorTask(ErrorTask):
    """What waitress refuses itself tells the browser the same as all else."""

    def execute(self) -> None:
        self.response_headers.extend(HEADERS)
        super().execute()


class _Task(WSGITask):
    """An answer; the connection of whoever was refused ends with it."""

    def build_response_header(self) -> bytes:
        if (self.environ or {}).get(LET_IN):
            self.channel.is_known = True
        else:
            self.set_close_on_finish()
        return bytes(super().build_response_header())


class _Request(HTTPRequestParser):
    """A request for a path here: what names a server too (as to a proxy) is not for this one."""

    def parse_header(self, header_plus: bytes) -> None:
        super().parse_header(header_plus)
        if not self.request_uri.startswith("/"):
            raise ParsingError("the target is not a path")


class _Channel(HTTPChannel):
    """A connection that is kept alive by answered requests alone, and not by what comes in."""

    task_class = _Task
    error_task_class = _ErrorTask
    parser_class = _Request
    last_activity: float
    is_known = False  # whether a request of it has been let in

    def handle_read(self) -> None:
        since = self.last_activity
        super().handle_read()
        self.last_activity = since

    def service(self) -> None:
        since = self.last_activity
        super().service()
        if not self.is_known:
            self.last_activity = since

    def handle_write(self) -> None:
        since = self.last_activity
        super().handle_write()
        if self.total_outbufs_len or not self.is_known:
            self.last_activity = since

    def writable(self) -> bool:
        return self.connected and bool(super().writable())


class _Server(TcpWSGIServer):
    channel_class = _Channel

    def handle_accept(self) -> None:
        super().handle_accept()
        if len(self._map) >= self.adj.connection_limit:
            strangers = [
                channel
                for channel in self.active_channels.values()
                if not channel.is_known and not channel.requests
            ]
            # Who has just come has had no time to say who it is, and the others may all be about
            # to be answered: then they make room.
            if len(strangers) > 1:
                min(strangers, key=lambda channel: channel.creation_time).handle_close()

    def maintenance(self, now: float) -> None:
        super().maintenance(now)
        for channel in list(self.active_channels.values()):
            if channel.will_close:  # it may never become writable, which is when waitress closes
                channel.handle_close()


class Server:
    """A dashboard that listens; `url` holds the token."""

    def __init__(self, url: str, server: _Server) -> None:
        self.url = url
        self._server = server

    def run(self) -> int:
        """Answer until a signal ends it, and return that signal's number."""
        got: List[int] = []

        numbers = (signal.SIGTERM, signal.SIGINT, getattr(signal, "SIGHUP", signal.SIGTERM))

        def end(number: int, _: object) -> None:
            for other in numbers:  # one is enough: another would be a second end, with its own code
                signal.signal(other, signal.SIG_IGN)
            got.append(number)
            raise SystemExit

        if threading.current_thread() is threading.main_thread():
            for number in numbers:
                if signal.getsignal(number) is not signal.SIG_IGN:
                    signal.signal(number, end)
        self._server.run()  # takes the SystemExit for its end, and waits for what is being answered
        self._server.close()
        return got[0] if got else signal.SIGTERM


def listen(
    spool: api.Spool,
    host: str,
    port: int,
    *,
    read_only: bool = False,
    allow_remote: bool = False,
    public_url: Optional[str] = None,
    scrape_token: Optional[str] = None,
) -> Server:
    """Bind a dashboard for a spool, ready to run.

    Args:
        host: an address of this machine, or `localhost`.
        port: 0 takes one that is free.
        allow_remote: let `host` be an address that other machines reach.
        public_url: what browsers call it who come through a proxy.
        scrape_token: what lets Prometheus read /metrics, and nothing else.

    Raises:
        BadInput: `host` is no address here, or not of the loopback and not allowed to be.
        Busy: the port is in use.
        StorageFailed: it may not be listened on.
    """
    address = address_of(host)
    if not allow_remote and not ipaddress.ip_address(address).is_loopback:
        raise BadInput(
            f"{host} is an address that other machines reach",
            hint="--allow-remote if that is meant; better a tunnel: "
            f"ssh -L {port}:127.0.0.1:{port} HOST",
        )
    outside = _outside(public_url)
    bound = _bind(address, port)
    port = bound.getsockname()[1]
    keys = Keys.new(scrape_token)
    place = place_of(address, port, outside)
    application = make(spool, keys, read_only=read_only)
    server = _Server(
        Guard(application, keys, place, read_only=read_only),
        _sock=bound,
        bind_socket=False,
        sockinfo=(bound.family, bound.type, bound.proto, bound.getsockname()),
        sockets=[bound],
        threads=THREADS,
        ident=None,
        backlog=64,
        connection_limit=MOST_CONNECTIONS,
        channel_timeout=LONGEST,
        cleanup_interval=_CLEANUP,
        max_request_header_size=MOST_HEADER,
        max_request_body_size=MOST_BODY,
        log_socket_errors=False,
        asyncore_use_poll=True,
    )
    shown = outside or f"http://{_name(address, port)}"
    return Server(f"{shown}/?token={keys.token}", server)


def address_of(host: str) -> str:
    """Return the address that a host is here.

    Raises:
        BadInput: it is none.
    """
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)[0][4][0]
        return str(ipaddress.ip_address(found))
    except (OSError, ValueError):
        raise BadInput(
            f"there is no address {host!r}", hint="--host takes 127.0.0.1, ::1 or localhost"
        ) from None


def place_of(address: str, port: int, outside: Optional[str] = None) -> Place:
    """Return by what names browsers may call a server that listens here."""
    known = {"127.0.0.1", "localhost", "[::1]"}
    if not ipaddress.ip_address(address).is_loopback:
        known.add(socket.gethostname().lower())
    if not ipaddress.ip_address(address).is_unspecified:
        known.add(f"[{address}]" if ":" in address else address)
    hosts = {f"{name}:{port}" for name in known} | (known if port == 80 else set())
    origins = {f"http://{name}" for name in hosts}
    if outside:
        hosts.add(urlsplit(outside).netloc)
        origins.add(outside)
    secure = bool(outside) and str(outside).startswith("https:")
    return Place(frozenset(hosts), frozenset(origins), f"spoolq-{port}", secure)


def _name(address: str, port: int) -> str:
    if ipaddress.ip_address(address).is_unspecified:
        address = socket.gethostname()
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


#: A public address: a name as browsers send it, or an address, and perhaps a port.
_PUBLIC = re.compile(r"(https?)://([a-z0-9_.-]+|\[[0-9a-f:.]+\])(?::(\d{1,5}))?/?", re.ASCII)
_DEFAULT_PORTS = {"http": 80, "https": 443}


def _outside(url: Optional[str]) -> Optional[str]:
    """Return a public address as browsers name it: lower case, no path, no port that they add."""
    if url is None:
        return None
    match = _PUBLIC.fullmatch(url.lower())
    scheme, host, port = match.groups() if match else ("", "", None)
    number = int(port or _DEFAULT_PORTS.get(scheme, 0))
    if not 0 < number < 65_536:
        raise BadInput(
            f"{url!r} is not the address of a server",
            hint="as https://queue.example.org, without a path",
        )
    return f"{scheme}://{host}" + ("" if number == _DEFAULT_PORTS[scheme] else f":{number}")


def _bind(address: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((address, port))
    except OSError as error:
        bound.close()
        if error.errno == errno.EADDRINUSE:
            raise Busy(
                f"port {port} of {address} is in use",
                hint="by another dashboard? --port 0 takes a port that is free",
            ) from None
        raise StorageFailed(
            f"cannot listen on port {port} of {address}: {error.strerror}"
        ) from None
    return bound
