"""A dashboard as its own process, and a visitor who speaks HTTP to it, well or badly."""

import http.client
import re
import signal
import socket
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

from tests.conftest import DEADLINE, environment

pytest.importorskip("flask", reason="the dashboard's libraries are not here: spoolq[dashboard]")
pytest.importorskip("waitress", reason="the dashboard's libraries are not here: spoolq[dashboard]")


class Answer:
    """What came back: status, headers by their lower-case names, and the body."""

    def __init__(self, status, headers, body):
        self.status = status
        self.pairs = [(name.lower(), value) for name, value in headers]
        self.headers = dict(self.pairs)
        self.body = body

    @property
    def text(self):
        return self.body.decode("utf-8")

    def __repr__(self):
        return f"{self.status} {self.headers} {self.body[:300]!r}"


class Visitor:
    """A browser without scripts: one connection a request, the cookie kept, forms sent."""

    def __init__(self, url):
        parts = urlsplit(url)
        self.url = url
        self.host, self.port = parts.hostname, parts.port
        self.own = f"{parts.scheme}://{parts.netloc}"
        self.token = parse_qs(parts.query)["token"][0]
        self.cookie = None

    def ask(self, method, path, headers=None, body=None, host=None):
        """Send one request; `headers` of None are left out."""
        connection = http.client.HTTPConnection(self.host, self.port, timeout=DEADLINE)
        sent = {"Host": host or f"{self.host}:{self.port}", "Cookie": self.cookie}
        sent.update(headers or {})
        try:
            connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
            if body is not None:
                sent.setdefault("Content-Length", str(len(body)))
            for name, value in sent.items():
                if value is not None:
                    connection.putheader(name, value)
            connection.endheaders(body)
            answer = connection.getresponse()
            return Answer(answer.status, answer.getheaders(), answer.read())
        finally:
            connection.close()

    def login(self):
        """Exchange the token for the cookie."""
        answer = self.ask("GET", f"/?token={self.token}")
        assert answer.status == 303, answer
        self.cookie = answer.headers["set-cookie"].split(";")[0]
        return answer

    def get(self, path, **headers):
        return self.ask(
            "GET", path, {name.replace("_", "-"): text for name, text in headers.items()}
        )

    def page(self, path):
        """Return a page that has to be there."""
        answer = self.get(path)
        assert answer.status == 200, answer
        return answer.text

    def csrf(self):
        """Return the secret in the forms of the pages."""
        found = re.search(r'name="csrf" value="([^"]+)"', self.page("/"))
        return found.group(1)

    def post(self, path, fields=(), headers=None, csrf=None):
        """Send a form as a page of the dashboard does, but for what `headers` changes."""
        fields = [("csrf", self.csrf() if csrf is None else csrf), *fields]
        sent = {
            "Origin": self.own,
            "Sec-Fetch-Site": "same-origin",
            "Content-Type": "application/x-www-form-urlencoded",
            **(headers or {}),
        }
        return self.ask("POST", path, sent, urlencode(fields).encode("ascii"))

    def raw(self, data):
        """Send bytes as they are, and return what comes back."""
        with socket.create_connection((self.host, self.port), timeout=DEADLINE) as connection:
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
            found = b""
            while True:
                piece = connection.recv(65536)
                if not piece:
                    return found
                found += piece


@pytest.fixture
def start_dashboard(spool):
    """Start `spoolq dashboard --port 0` as a real process; return a visitor of it."""
    started = []

    def start(*args, port=0):
        said = Path(spool.path, f".dashboard-{len(started)}.err")
        with said.open("w") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "spoolq", "--spool", spool.path, "dashboard", *args]
                + ["--port", str(port)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                env=environment(),
                text=True,
            )
        started.append(process)
        url = process.stdout.readline().strip()
        assert url.startswith("http"), said.read_text()
        visitor = Visitor(url)
        visitor.process = process
        visitor.said = said.read_text
        return visitor

    yield start
    for process in started:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
        process.wait()
        process.stdout.close()


@pytest.fixture
def visitor(start_dashboard):
    """A visitor who has come by the printed address."""
    found = start_dashboard()
    found.login()
    return found


class _Elements(HTMLParser):
    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.found = []
        self.texts = []

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))

    def handle_data(self, text):
        self.texts.append(text)


def elements(page):
    """Return the elements of a page, each with its attributes."""
    parser = _Elements()
    parser.feed(page)
    return parser.found


def text_of(page):
    """Return what a page says, without its markup."""
    parser = _Elements()
    parser.feed(page)
    return " ".join(" ".join(parser.texts).split())


def free_port():
    """Return a port that nobody listens on just now."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]
