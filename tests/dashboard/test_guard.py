"""Who is let in: each rule attacked over real connections to the real server."""

import io
import re
import socket

import pytest

from spoolq import steering
from spoolq.dashboard import serve
from spoolq.dashboard.guard import HEADERS, Guard, Keys
from tests import given
from tests.conftest import entries
from tests.dashboard.conftest import free_port

EVERY_ROUTE = [
    "/",
    "/jobs",
    "/jobs/dead",
    "/job/abc",
    "/job/abc/log/a1.20261124T020646123456Z",
    "/workers",
    "/settings",
    "/static/spoolq.css",
    "/static/",
    "/nowhere",
]
CHANGES = ["/retry", "/cancel", "/pause", "/resume"]


# --- where it listens -----------------------------------------------------------------------------


def test_it_listens_on_the_loopback_alone(visitor):
    assert visitor.host == "127.0.0.1"
    others = {
        info[4][0]
        for info in socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET)
        if not info[4][0].startswith("127.")
    }
    for address in others:
        with pytest.raises(OSError):
            socket.create_connection((address, visitor.port), timeout=5).close()


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.7"])
def test_an_address_for_other_machines_is_refused_without_the_flag(run_cli, host):
    done = run_cli("dashboard", "--host", host, "--port", "0", check=False)
    assert done.returncode == 2
    assert "other machines reach" in done.stderr
    assert "--allow-remote" in done.stderr
    assert done.stdout == ""


def test_with_the_flag_there_is_a_token_all_the_same(start_dashboard):
    visitor = start_dashboard("--host", "0.0.0.0", "--allow-remote")
    assert len(visitor.token) >= 43
    visitor.host = "127.0.0.1"
    assert visitor.get("/").status == 403
    assert "can be read on the way" in visitor.said()


# --- Host, before routing -------------------------------------------------------------------------


@pytest.mark.parametrize("path", [*EVERY_ROUTE, "/?token={token}"])
def test_a_foreign_host_is_refused_on_every_route(visitor, path):
    """DNS rebinding: a page of another name, whose name is made to point here, cookie and all."""
    path = path.format(token=visitor.token)
    for host in (
        f"evil.example:{visitor.port}",
        "127.0.0.1",
        "localhost:1",
        f"127.0.0.1.evil:{visitor.port}",
    ):
        answer = visitor.ask("GET", path, host=host)
        assert answer.status == 403, (host, answer)
        assert "set-cookie" not in answer.headers
        assert b"<" not in answer.body


def test_the_names_of_the_loopback_are_ours_in_any_case(visitor):
    for host in ("127.0.0.1", "localhost", "LOCALHOST", "[::1]"):
        assert visitor.ask("GET", "/", host=f"{host}:{visitor.port}").status == 200, host


def test_a_request_without_a_host_or_with_two_is_refused(visitor):
    own = f"127.0.0.1:{visitor.port}".encode()
    cookie = b"Cookie: " + visitor.cookie.encode() + b"\r\n"
    for head in (
        b"GET / HTTP/1.0\r\n",
        b"GET / HTTP/1.1\r\nHost: " + own + b"\r\nHost: evil.example\r\n",
        b"GET / HTTP/1.1\r\nHost: evil.example\r\nX-Forwarded-Host: " + own + b"\r\n",
    ):
        answer = visitor.raw(head + cookie + b"\r\n")
        assert answer.split(b"\r\n")[0].split()[1] == b"403", head


@pytest.mark.parametrize(
    "target",
    ["http://evil.example/", "http://{own}/", "HTTP://{own}/", "*", "evil.example:80", "x"],
)
def test_a_target_that_is_no_path_is_refused(visitor, target):
    """Whoever names a server in the target means a proxy, and `Host` says nothing of it."""
    own = f"127.0.0.1:{visitor.port}"
    head = (
        f"GET {target.format(own=own)} HTTP/1.1\r\nHost: {own}\r\nCookie: {visitor.cookie}\r\n\r\n"
    )
    answer = visitor.raw(head.encode())
    assert answer.split(b"\r\n")[0].split()[1] == b"400"


# --- the token and the cookie ---------------------------------------------------------------------


@pytest.mark.parametrize("path", EVERY_ROUTE)
def test_without_the_cookie_nothing_is_shown(start_dashboard, spool, path):
    answer = start_dashboard().get(path)
    assert answer.status == 403
    assert spool.path.encode() not in answer.body


def test_the_token_becomes_a_cookie_and_leaves_the_address(start_dashboard):
    visitor = start_dashboard()
    answer = visitor.login()
    assert answer.headers["location"] == "/"
    name, *attributes = answer.headers["set-cookie"].split("; ")
    assert set(attributes) == {"Path=/", "HttpOnly", "SameSite=Strict"}
    assert visitor.token not in name
    assert visitor.get("/").status == 200


@pytest.mark.parametrize(
    "query",
    [
        "token=",
        "token=x",
        "token={token}x",
        "token={token}&token={token}",
        "token=%F0%9F",
        "Token={token}",
    ],
)
def test_a_wrong_token_gets_no_cookie(start_dashboard, query):
    visitor = start_dashboard()
    answer = visitor.get(f"/?{query.format(token=visitor.token)}")
    assert answer.status == 403
    assert "set-cookie" not in answer.headers


def test_the_token_counts_at_the_front_door_alone(start_dashboard):
    visitor = start_dashboard()
    assert visitor.get(f"/jobs?token={visitor.token}").status == 403
    assert visitor.ask("POST", f"/?token={visitor.token}", body=b"").status == 403


def test_a_token_and_a_cookie_are_of_one_start_alone(start_dashboard):
    one, other = start_dashboard(), start_dashboard()
    one.login()
    assert one.token != other.token
    other.cookie = re.sub(r"-\d+=", f"-{other.port}=", one.cookie)
    assert other.get("/").status == 403
    assert other.get(f"/?token={one.token}").status == 403


@pytest.mark.parametrize(
    "cookie", ["", "=", ";;;", "spoolq-{port}=", "spoolq-{port}=\xff\xfe", "spoolq-{port}"]
)
def test_a_cookie_that_is_not_ours_is_none(start_dashboard, cookie):
    visitor = start_dashboard()
    visitor.cookie = cookie.format(port=visitor.port)
    assert visitor.get("/").status == 403


def test_secrets_are_compared_in_a_time_that_tells_nothing(monkeypatch):
    compared = []
    digest = serve.Guard.__call__.__globals__["hmac"].compare_digest
    monkeypatch.setattr(
        "spoolq.dashboard.guard.hmac.compare_digest",
        lambda *both: compared.append(both) or digest(*both),
    )
    keys = Keys("token", "session", "csrf")
    guard = Guard(lambda *_: [], keys, serve.place_of("127.0.0.1", 1), read_only=False)
    base = {"REQUEST_METHOD": "GET", "PATH_INFO": "/", "HTTP_HOST": "127.0.0.1:1"}
    guard({**base, "QUERY_STRING": "token=t"}, lambda *_: None)
    guard({**base, "HTTP_COOKIE": "spoolq-1=s"}, lambda *_: None)
    post = {
        **base,
        "REQUEST_METHOD": "POST",
        "HTTP_COOKIE": "spoolq-1=session",
        "HTTP_ORIGIN": "http://127.0.0.1:1",
        "CONTENT_TYPE": "application/x-www-form-urlencoded",
        "wsgi.input": io.BytesIO(b"csrf=c"),
    }
    guard(post, lambda *_: None)
    assert [given for given, _ in compared] == [b"t", b"s", b"session", b"c"]


# --- changes --------------------------------------------------------------------------------------


def paused(spool):
    return spool.root.has("paused")


def test_a_form_of_a_page_changes_something(visitor, spool):
    assert visitor.post("/pause").status == 303
    assert paused(spool)
    assert visitor.post("/resume").status == 303
    assert not paused(spool)


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": None},
        {"Origin": "null"},
        {"Origin": "http://evil.example"},
        {"Origin": "http://127.0.0.1"},
        {"Origin": "http://127.0.0.1:1"},
        {"Origin": "https://127.0.0.1:{port}"},
        {"Origin": "http://127.0.0.1:{port}.evil.example"},
        {"Origin": "http://127.0.0.1:{port}", "Sec-Fetch-Site": "cross-site"},
        {"Origin": "http://127.0.0.1:{port}", "Sec-Fetch-Site": "same-site"},
        {"Origin": "http://127.0.0.1:{port}", "Sec-Fetch-Site": "none"},
        {"Cookie": None},
        {"Host": "evil.example:{port}"},
    ],
    ids=str,
)
def test_a_forged_form_changes_nothing(visitor, spool, headers):
    sent = {name: text and text.format(port=visitor.port) for name, text in headers.items()}
    assert visitor.post("/pause", headers=sent).status == 403
    assert not paused(spool)


@pytest.mark.parametrize("csrf", ["", "x", "{token}", "\u00e9"])
def test_a_form_without_the_secret_of_the_pages_changes_nothing(visitor, spool, csrf):
    assert visitor.post("/pause", csrf=csrf.format(token=visitor.token)).status == 403
    assert not paused(spool)


def test_two_secrets_are_no_secret(visitor, spool):
    assert visitor.post("/pause", [("csrf", visitor.csrf())]).status == 403
    assert not paused(spool)


@pytest.mark.parametrize(
    "kind", ["text/plain", "multipart/form-data; boundary=x", "application/json", None]
)
def test_only_forms_of_the_pages_are_taken(visitor, spool, kind):
    assert visitor.post("/pause", headers={"Content-Type": kind}).status == 415
    assert not paused(spool)


@pytest.mark.parametrize("body", [b"\xff\xfe", b"&" * 16000, b"csrf=" + b"a=b&" * 3000, b"%%%"])
def test_a_broken_form_is_refused(visitor, spool, body):
    headers = {"Origin": visitor.own, "Content-Type": "application/x-www-form-urlencoded"}
    assert visitor.ask("POST", "/pause", headers, body).status in (400, 403)
    assert not paused(spool)


@pytest.mark.parametrize("path", CHANGES)
def test_looking_changes_nothing(visitor, spool, clock, path):
    given.job(spool, "pending", given.named(clock, "a"))
    given.job(spool, "dead", given.named(clock, "b"))
    steering.pause(spool)
    before = given.everything(spool)
    for method in ("GET", "HEAD"):
        assert visitor.ask(method, f"{path}?id=a&id=b&only=b&csrf={visitor.csrf()}").status == 405
    assert (given.everything(spool), paused(spool)) == (before, True)


@pytest.mark.parametrize(
    "method", ["OPTIONS", "PUT", "DELETE", "PATCH", "TRACE", "CONNECT", "GETT"]
)
@pytest.mark.parametrize("path", ["/", "/pause"])
def test_other_methods_are_not_answered(visitor, spool, method, path):
    headers = {"Origin": "http://evil.example", "Access-Control-Request-Method": "POST"}
    answer = visitor.ask(method, path, headers)
    assert answer.status == 405
    assert not [name for name in answer.headers if name.startswith("access-control")]
    assert not paused(spool)


def test_no_answer_opens_itself_to_other_origins(visitor):
    for path in EVERY_ROUTE:
        answer = visitor.ask("GET", path, {"Origin": "http://evil.example"})
        assert not [name for name in answer.headers if name.startswith("access-control")], path


def test_another_site_may_lead_here_and_embed_nothing(visitor):
    led = {
        "Sec-Fetch-Site": "cross-site",
        "Sec-Fetch-Mode": "navigate",
        "Sec-Fetch-Dest": "document",
    }
    assert visitor.ask("GET", "/", led).status == 200
    for change in (
        {"Sec-Fetch-Dest": "iframe"},
        {"Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "script"},
        {"Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty"},
        {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"},
    ):
        assert visitor.ask("GET", "/static/spoolq.js", {**led, **change}).status == 403, change


def test_nothing_can_be_enqueued_or_edited(visitor, spool):
    fields = [
        ("command", "touch /tmp/owned"),
        ("id", "new1"),
        ("key", "shell"),
        ("value", "/bin/x"),
    ]
    for path in ("/enqueue", "/jobs", "/job/new1", "/settings", "/config", "/", "/purge", "/stop"):
        assert visitor.post(path, fields).status in (404, 405), path
    assert given.everything(spool) == []
    assert spool.config_bytes() == spool.root.read("config.json", 1 << 16)[0]


@pytest.mark.parametrize("path", CHANGES)
def test_a_read_only_dashboard_refuses_every_change(start_dashboard, spool, clock, path):
    given.job(spool, "pending", given.named(clock, "a"))
    given.job(spool, "dead", given.named(clock, "b"))
    before = given.everything(spool)
    visitor = start_dashboard("--read-only")
    visitor.login()
    page = visitor.page("/")
    assert "read-only" in page
    assert "<form" not in page
    for shown in ("/jobs/dead", "/jobs/pending", "/job/a", "/job/b"):
        assert 'method="post"' not in visitor.page(shown), shown
    for csrf in ("x", ""):
        assert visitor.post(path, [("id", "a"), ("id", "b")], csrf=csrf).status == 403
    assert (given.everything(spool), paused(spool)) == (before, False)


# --- Prometheus -----------------------------------------------------------------------------------

SCRAPE = "0123456789abcdef0123456789abcdef"


@pytest.fixture
def scraped(start_dashboard, tmp_path):
    """A dashboard with a token for Prometheus, and a visitor who has no other."""
    (tmp_path / "token").write_text(SCRAPE + "\n")
    return start_dashboard("--metrics-token", str(tmp_path / "token"))


def test_prometheus_reads_the_metrics_by_a_token_of_its_own(scraped):
    pytest.importorskip("prometheus_client", reason="the extra `metrics` is not installed")
    answer = scraped.get("/metrics", Authorization=f"Bearer {SCRAPE}")
    assert answer.status == 200
    assert answer.headers["content-type"].startswith("text/plain; version=")
    assert 'state="dead"} 0.0' in answer.text


def test_the_token_of_prometheus_opens_nothing_else(scraped, spool):
    bearer = {"Authorization": f"Bearer {SCRAPE}"}
    for path in ("/", "/jobs", "/settings", "/metrics/", "/metrics/../jobs", f"/?token={SCRAPE}"):
        assert scraped.get(path, **bearer).status == 403, path
    assert scraped.post("/pause", csrf="x", headers=bearer).status == 403
    assert scraped.ask("POST", "/metrics", bearer, b"").status == 403
    assert scraped.ask("GET", "/metrics", bearer, host="evil.example").status == 403
    assert not paused(spool)


@pytest.mark.parametrize(
    "given_", ["", "Bearer", "Bearer ", "Bearer x", "Basic {}", "{}", "Bearer {}x"]
)
def test_metrics_are_not_for_everybody(scraped, given_):
    assert scraped.get("/metrics", Authorization=given_.format(SCRAPE)).status == 403


def test_without_a_token_of_its_own_metrics_need_the_cookie(visitor):
    cookie, visitor.cookie = visitor.cookie, None
    for token in ("", "None", visitor.token):
        assert visitor.get("/metrics", Authorization=f"Bearer {token}").status == 403
    visitor.cookie = cookie
    assert visitor.get("/metrics").status in (200, 501)


@pytest.mark.parametrize(
    "text",
    ["", "short", "x" * 5000, "0123456789\n0123456789", "\u00e9" * 20, "\udcff" * 20],
)
def test_a_file_that_holds_no_token_is_refused(run_cli, tmp_path, text):
    (tmp_path / "token").write_bytes(text.encode("utf-8", "surrogateescape"))
    done = run_cli("dashboard", "--metrics-token", str(tmp_path / "token"), check=False)
    assert done.returncode == 2
    assert "holds no token" in done.stderr
    assert text not in done.stderr or not text


@pytest.mark.parametrize(
    ("mode", "said"), [(0o600, ""), (0o640, ""), (0o644, "read"), (0o660, "write")]
)
def test_it_is_said_where_others_know_or_choose_the_token(start_dashboard, tmp_path, mode, said):
    (tmp_path / "token").write_text(SCRAPE)
    (tmp_path / "token").chmod(mode)
    visitor = start_dashboard("--metrics-token", str(tmp_path / "token"))
    assert (f"others may {said}" in visitor.said()) == bool(said)


# --- what every answer says -----------------------------------------------------------------------


def test_every_answer_tells_the_browser_the_same(visitor, start_dashboard):
    stranger = start_dashboard()
    answers = [visitor.get(path) for path in EVERY_ROUTE]
    answers += [stranger.get("/"), stranger.login(), visitor.ask("GET", "/", host="evil.example")]
    answers += [
        visitor.ask("OPTIONS", "/"),
        visitor.post("/pause"),
        visitor.post("/pause", csrf="x"),
    ]
    answers += [
        visitor.ask("HEAD", "/"),
        visitor.get("/job/..%2f..%2fetc"),
        visitor.get("/jobs?start=x"),
    ]
    etag = visitor.get("/settings").headers["etag"]
    answers.append(visitor.get("/settings", If_None_Match=etag))
    answers.append(visitor.get("/" + "x" * 20_000))  # refused by waitress itself
    assert {answer.status for answer in answers} >= {200, 303, 304, 403, 404, 405, 431}
    for answer in answers:
        for name, value in HEADERS:
            told = [text for found, text in answer.pairs if found == name.lower()]
            assert told == [value], (name, answer)
        assert "server" not in answer.headers


def test_the_policy_lets_in_nothing_from_elsewhere():
    policy = dict(
        part.strip().split(" ", 1) for part in dict(HEADERS)["Content-Security-Policy"].split(";")
    )
    assert policy == {
        "default-src": "'none'",
        "style-src": "'self'",
        "script-src": "'self'",
        "img-src": "'self'",
        "connect-src": "'self'",
        "form-action": "'self'",
        "base-uri": "'none'",
        "frame-ancestors": "'none'",
    }


# --- behind a proxy -------------------------------------------------------------------------------


def test_behind_a_proxy_the_public_address_is_known_too(start_dashboard, spool):
    port = free_port()
    visitor = start_dashboard("--public-url", "https://Queue.example.org/", port=port)
    assert visitor.url.startswith("https://queue.example.org/?token=")
    visitor.host, visitor.port = "127.0.0.1", port
    public = "queue.example.org"
    answer = visitor.ask("GET", f"/?token={visitor.token}", host=public)
    assert answer.status == 303
    assert "Secure" in answer.headers["set-cookie"].split("; ")
    visitor.cookie = answer.headers["set-cookie"].split(";")[0]
    assert visitor.ask("GET", "/", host=public).status == 200
    assert visitor.ask("GET", "/", host="other.example.org").status == 403
    csrf = visitor.csrf()
    sent = {"Host": public, "Origin": f"https://{public}"}
    assert (
        visitor.post("/pause", csrf=csrf, headers={**sent, "Origin": f"http://{public}"}).status
        == 403
    )
    assert not paused(spool)
    assert visitor.post("/pause", csrf=csrf, headers=sent).status == 303
    assert paused(spool)


@pytest.mark.parametrize(
    "url",
    [
        "queue.example.org",
        "ftp://queue",
        "https://queue/path",
        "https://u@queue",
        "https://",
        "http://[::",
        "https://a b\x1b[31m",
        "https://queue\t",
        "https://queue:99999",
        "https://queue:0",
        "https://qu\u0435ue",
    ],
)
def test_what_is_no_address_of_a_server_is_refused(run_cli, url):
    done = run_cli("dashboard", "--public-url", url, check=False)
    assert done.returncode == 2
    assert "not the address of a server" in done.stderr
    assert "\x1b" not in done.stderr


@pytest.mark.parametrize(
    ("given_", "name"),
    [
        ("https://q.example:443", "https://q.example"),
        ("http://q.example:80/", "http://q.example"),
        ("https://q.example:8443", "https://q.example:8443"),
        ("http://[::1]:443", "http://[::1]:443"),
    ],
)
def test_a_public_address_is_as_browsers_name_it(start_dashboard, given_, name):
    """They leave out the port that belongs to the scheme, in `Host` as in `Origin`."""
    port = free_port()
    visitor = start_dashboard("--public-url", given_, port=port)
    assert visitor.url.startswith(f"{name}/?token=")
    visitor.host, visitor.port = "127.0.0.1", port
    host = name.partition("//")[2]
    assert visitor.ask("GET", f"/?token={visitor.token}", host=host).status == 303


def test_entries_are_not_touched_by_a_visit(visitor, spool, clock):
    given.job(spool, "pending", given.named(clock, "a"))
    visitor.page("/")
    assert entries(spool, "pending") == [str(given.named(clock, "a"))]
