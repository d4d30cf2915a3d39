"""What the pages show: hostile text as text, jobs by state, one job, its log, and no file else."""

import json
import os

import pytest

from spoolq import instants, pauses, scheduling, steering
from tests import given
from tests.conftest import wait_until
from tests.dashboard.conftest import elements, text_of

STAMP = "20261124T020646123456Z"

HOSTILE = [
    "<script>alert(1)</script>",
    "\"'><img src=x onerror=alert(1)>",
    "</code></table></main><h1>gone</h1>",
    "{{ 7 * 7 }}{% raw %}",
    "javascript:alert(1)",
    "\x1b]0;title\x07\x1b[2J\x1b[31mred",
    "a\u202egnp.exe\u2066\u200f",
    "\x00\x01\x7f\x85\u2028\u2029\ufeff".replace("\0", ""),
    "&lt;b&gt;&amp;",
    "עברית العربية",
    "x" * 256,
]
#: Characters that turn the reading direction, end lines, or speak to terminals.
TRICKS = {chr(code) for code in (*range(0x202A, 0x202F), *range(0x2066, 0x206A), 0x200E, 0x200F)}
TRICKS |= {chr(code) for code in range(32)} - {"\n", "\t"} | {"\x7f", "\x85", "\u2028", "\u2029"}


def ended(clock, code=0, **more):
    """A run that has ended."""
    return {
        "attempt": 1,
        "worker": "w-1-x",
        "started_at": instants.to_rfc3339(clock()),
        "finished_at": instants.to_rfc3339(instants.later(clock(), 2)),
        "exit_code": code,
        **more,
    }


def log_of(spool, job_id, data, attempt=1, stamp=STAMP):
    path = os.path.join(spool.path, "logs", f"{job_id}.a{attempt}.{stamp}.log")
    with open(path, "wb") as file:
        file.write(data)
    return path


def allowed(page):
    """Every element and attribute that a page is made of, and where its scripts come from."""
    found = elements(page)
    assert not [
        attributes for _, attributes in found if any(a.startswith("on") for a in attributes)
    ]
    assert not [attributes for _, attributes in found if "style" in attributes]
    assert {tag for tag, _ in found}.isdisjoint(
        {"img", "iframe", "object", "embed", "base", "style"}
    )
    scripts = [attributes for tag, attributes in found if tag == "script"]
    assert scripts == [{"src": "/static/spoolq.js", "defer": None}]
    for tag, attributes in found:
        for name in ("href", "src", "action", "formaction"):
            if name in attributes:
                assert attributes[name].startswith(("/", "#")), (tag, attributes)
                assert not attributes[name].startswith("//")
    assert [tag for tag, _ in found].count("h1") == 1
    assert not TRICKS & set(page)


@pytest.mark.parametrize("text", HOSTILE, ids=ascii)
def test_hostile_text_of_a_job_is_shown_as_text(visitor, spool, clock, text):
    """In its name, tags, command, directory, fields, history, and what it printed."""
    fields = {
        "command": text,
        "name": text,
        "tags": [text[:64]],
        "cwd": text,
        "env": {text[:50].replace("=", "-"): text},
        text: text,
        "history": [ended(clock, 1, error=text, worker=text)],
    }
    name = given.named(clock, "evil", attempt=1)
    data = json.dumps(fields)
    given.write(spool, "dead", str(name), data)
    given.write(spool, "failed", str(name._replace(id="evil2")), data)
    given.write(spool, "processing", str(name._replace(id="e3", worker="w-1-x", slot="0")), data)
    log_of(spool, "evil", text.encode("utf-8"))
    for path in (
        "/",
        "/jobs",
        "/jobs/dead",
        "/jobs/failed",
        "/jobs/processing",
        "/job/evil",
        "/workers",
    ):
        page = visitor.page(path)
        allowed(page)
        if path != "/workers" and text.isprintable() and len(text) < 100:
            assert " ".join(text.split()) in text_of(page), path


def test_a_call_and_what_it_returned_are_shown_as_text(visitor, spool, clock):
    call = {"target": "shop.mail:send", "args": HOSTILE, "kwargs": dict.fromkeys(HOSTILE, 1)}
    name = given.named(clock, "call", attempt=1)
    fields = {"command": ["python3", "-m", "spoolq.call"], "call": call}
    history = [ended(clock, result=HOSTILE)]
    given.write(spool, "completed", str(name), json.dumps({**fields, "history": history}))
    for page in (visitor.page("/job/call"), visitor.page("/jobs/completed")):
        allowed(page)
        assert "shop.mail:send(" in text_of(page)
    assert "Returned" in text_of(visitor.page("/job/call"))


def test_hostile_file_names_are_shown_as_text(visitor, spool, clock):
    raw = os.fsencode(spool.path)
    for name in (
        b"<script>alert(1)<\x2fscript>.json".replace(b"\x2f", b"|"),
        b"\xff\xfe\x1b[2J.json",
        "\u202egnp.json".encode(),
        b"new\nline.json",
        b"x" * 240 + b".json",
        b"20261124T020646123456Z.p5.a0.<b>.json",
        b"20261124T020646123456Z.px.axy.strange.json",
    ):
        for state in (b"dead", b"pending"):
            with open(os.path.join(raw, state, name), "wb") as file:
                file.write(b"{")
    for path in ("/", "/jobs", "/jobs/dead", "/jobs/dead?sort=attempts", "/jobs/pending?sort=id"):
        allowed(visitor.page(path))
    assert "\\udcff\\udcfe\\x1b[2J.json" in text_of(visitor.page("/jobs/dead"))


def test_hostile_words_of_a_worker_are_shown_as_text(visitor, spool):
    own = given.worker(spool)
    own.dir.discard("worker.json")
    card = {
        "pid": "<b>",
        "host": "\u202e",
        "count": {"<i>": 1},
        "trouble": "<script>x</script>\x1b",
    }
    own.dir.write("worker.json", json.dumps(card).encode(), sync=False)
    for path in ("/", "/workers"):
        allowed(visitor.page(path))
    assert "<script>x</script>\\x1b" in text_of(visitor.page("/workers"))


@pytest.mark.parametrize("query", ["q", "sort", "order", "start", "note", "span", "in", "run"])
@pytest.mark.parametrize(
    "text", ['"><script>alert(1)</script>', "\u202e", "%00", "9" * 400, "-1", "١"]
)
def test_what_an_address_says_is_shown_as_text(visitor, spool, clock, query, text):
    from urllib.parse import quote

    given.job(spool, "dead", given.named(clock, "a"))
    for path in ("/", "/jobs/dead", "/job/a"):
        allowed(visitor.page(f"{path}?{query}={quote(text)}"))


def test_a_job_of_the_largest_size_is_shown_cut(visitor, spool, clock):
    name = given.named(clock, "big")
    given.job(spool, "pending", name, command="echo " + "x" * 100_000, note="y" * 900_000)
    for path in ("/", "/jobs", "/job/big"):
        assert len(visitor.page(path)) < 80_000, path


# --- ids before files -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    [
        "/job/..",
        "/job/../settings",
        "/job/..%2f..%2fconfig.json",
        "/job/%2e%2e",
        "/job/.hidden",
        "/job/-rf",
        "/job/a%00b",
        "/job/a%0ab",
        "/job/last",
        "/job/" + "x" * 65,
        "/job/%ff",
        "/job/a.json",
        "/job/..%5c..%5cx",
        "/job/a/log/../../config.json",
        "/job/../log/a1." + STAMP,
        "/job/a/log/a1." + STAMP + "%2f..",
        "/job/a/log/%2e%2e",
        "/job/a/log/a1.20261124T020646123456Z.log",
        "/job/a/log/ax." + STAMP,
        "/job/b.a1." + STAMP + ".log%00/log/a1." + STAMP,
        "/static/../app.py",
        "/static/..%2fapp.py",
        "/static/%2e%2e/app.py",
        "/static//etc/passwd",
        "/static/",
        "/static",
        "/templates/base.html",
        "/../../../../etc/passwd",
        "//etc/passwd",
    ],
)
def test_no_address_leads_to_another_file(visitor, spool, clock, path):
    given.job(spool, "pending", given.named(clock, "a"))
    log_of(spool, "a", b"secret of a\n")
    answer = visitor.get(path)
    assert answer.status in (400, 404, 308), answer
    assert b"root:" not in answer.body
    assert b"secret of a" not in answer.body
    assert b"def make" not in answer.body


def test_an_id_is_looked_at_before_any_file(monkeypatch, spool):
    """In the same application without its gate: nothing of the spool is touched for a wrong id."""
    from spoolq import api
    from spoolq.dashboard import app
    from spoolq.dashboard.guard import Keys

    asked = api.Spool(spool.path)
    wsgi = app.make(asked, Keys.new(), read_only=False)
    monkeypatch.setattr(app.Look, "place", lambda *_: pytest.fail("looked for"))
    monkeypatch.setattr(app.Look, "refresh", lambda *_: pytest.fail("looked at"))
    monkeypatch.setattr(app.story, "piece", lambda *_: pytest.fail("opened"))
    for path in ("/job/..a", "/job/%2e", "/job/-x", "/job/a b/log/a1." + STAMP, "/job/a/log/x"):
        environ = {
            "REQUEST_METHOD": "GET",
            "PATH_INFO": path,
            "SERVER_NAME": "x",
            "SERVER_PORT": "1",
            "wsgi.url_scheme": "http",
        }
        answers = []
        b"".join(wsgi(environ, lambda status, *_, answers=answers: answers.append(status)))
        assert answers == ["404 NOT FOUND"], path
    asked.close()


# --- logs -----------------------------------------------------------------------------------------


def log_path(job_id="a", start=0):
    return f"/job/{job_id}/log/a1.{STAMP}?start={start}"


def test_a_log_is_plain_text_from_a_byte_on(visitor, spool):
    log_of(spool, "a", "hällo <b>\n".encode() + b"two\n")
    answer = visitor.get(log_path())
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.text == "hällo <b>\ntwo\n"
    assert answer.headers["spoolq-end"] == answer.headers["spoolq-size"] == "15"
    assert visitor.get(log_path(start=11)).text == "two\n"
    beyond = visitor.get(log_path(start=99))
    assert (beyond.text[:5], beyond.headers["spoolq-start"]) == ("hällo", "0")
    for wrong in ("-1", "x", "1e3", "%D9%A1"):
        assert visitor.get(log_path(start=wrong)).status == 400


def test_a_log_that_grows_is_followed_piece_by_piece(visitor, spool):
    path = log_of(spool, "a", b"one\n")
    answer = visitor.get(log_path())
    with open(path, "ab") as file:
        file.write(b"two\n")
    assert visitor.get(log_path(start=answer.headers["spoolq-end"])).text == "two\n"


def test_a_long_log_comes_in_bounded_pieces_that_make_the_whole(visitor, spool):
    text = "".join(f"Zeile {n}: äöü€𝄞\n" for n in range(9000))
    log_of(spool, "a", text.encode())
    found, start = "", "0"
    while True:
        answer = visitor.get(log_path(start=start))
        assert len(answer.body) <= 64 * 1024
        found += answer.text
        if answer.headers["spoolq-end"] == start:
            break
        start = answer.headers["spoolq-end"]
    assert found == text


@pytest.mark.parametrize(
    "data", [b"\x1b]52;c;eA==\x07", b"\xff\xfe\x00", b"a\r\nb\rc", "\u202e\u2066".encode()]
)
def test_hostile_output_is_harmless_text(visitor, spool, data):
    log_of(spool, "a", data)
    given_text = visitor.get(log_path()).text
    assert not TRICKS & set(given_text)


@pytest.mark.parametrize("make", [os.symlink, os.link], ids=["symbolic link", "hard link"])
def test_no_log_is_opened_through_a_link(start_dashboard, spool, tmp_path, make):
    """A hard link is one only where a group may write here, as with `spoolq logs`."""
    secret = tmp_path / "secret"
    secret.write_text("secret")
    if make is os.link:
        os.chmod(spool.path, 0o2770)
    make(str(secret), os.path.join(spool.path, "logs", f"a.a1.{STAMP}.log"))
    visitor = start_dashboard()
    visitor.login()
    assert visitor.get(log_path()).text == ""


def in_place_of_a_log(path, kind):
    """Put something that no worker has written where a log would be."""
    if kind == "directory":
        os.mkdir(path)
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        os.symlink("/etc/passwd", path)


@pytest.mark.parametrize("kind", ["link", "pipe", "directory"])
def test_what_is_no_log_is_not_offered_as_output(visitor, spool, clock, kind):
    at = instants.to_rfc3339(clock())
    run = {"attempt": 1, "worker": "w", "started_at": at, "finished_at": at, "exit_code": 0}
    given.job(spool, "completed", given.named(clock, "a", attempt=1), history=[run])
    log = f"a.a1.{instants.to_stamp(clock())}.log"
    in_place_of_a_log(os.path.join(spool.path, "logs", log), kind)
    page = visitor.page("/job/a")
    assert 'href="/job/a?run=' not in page
    assert "no regular file" in text_of(page) and "is not opened" in text_of(page)
    assert "Nothing was printed" not in page


def test_a_pipe_in_the_place_of_a_log_holds_nobody_up(visitor, spool):
    os.mkfifo(os.path.join(spool.path, "logs", f"a.a1.{STAMP}.log"))
    assert visitor.get(log_path()).text == ""


# --- pages ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/", "/jobs", "/jobs/dead", "/workers", "/settings"])
def test_an_empty_spool_has_pages(visitor, path):
    allowed(visitor.page(path))


def test_the_overview_tells_which_tags_are_paused_and_what_is_in_use(visitor, spool):
    assert "limits:" not in visitor.page("/")
    spool.write_config(b'{"limits": {"gpu": 2}}')
    pauses.pause(spool, "<b>night")
    page = visitor.page("/")
    assert "limits: gpu 0/2" in page
    assert "paused tags: &lt;b&gt;night" in page


def test_the_overview_counts_and_says_what_to_do(visitor, spool, clock):
    assert "Nothing here yet" in text_of(visitor.page("/"))
    given.job(spool, "pending", given.named(clock, "a"))
    assert "No worker runs." in text_of(visitor.page("/"))
    steering.pause(spool)
    assert "Paused" in text_of(visitor.page("/"))


def test_a_job_tells_its_story(visitor, spool, clock):
    run = ended(clock, 3)
    name = given.named(clock, "a", attempt=4)
    fields = {"name": "nightly", "env": {"PASSWORD": "hunter2"}, "history": [run]}
    given.write(spool, "dead", str(name), json.dumps({"command": "false", **fields}))
    stamp = instants.to_stamp(clock())
    log_of(spool, "a", b"could not connect\n", stamp=stamp)
    page = visitor.page("/job/a")
    said = text_of(page)
    for words in ("dead", "exit code 3", "nightly", "2.0 s", "could not connect", "PASSWORD"):
        assert words in said, words
    assert "hunter2" not in page
    assert f"/job/a/log/a1.{stamp}" in page


def test_a_job_that_is_not_there_is_said(visitor):
    answer = visitor.get("/job/nosuch")
    assert answer.status == 404
    assert "there is no job nosuch" in text_of(answer.text)


def test_what_is_no_job_is_listed_with_its_reason(visitor, spool):
    given.write(spool, "dead", "bad.json", '{"comand": "x"}')
    said = text_of(visitor.page("/jobs/dead"))
    assert "bad.json" in said
    assert "a job needs a 'command'" in said


def test_settings_are_shown_and_a_broken_file_is_said(visitor, spool):
    assert "seconds between TERM and KILL" in text_of(visitor.page("/settings"))
    spool.write_config(b'{"max_retries": "<b>"}')
    for path in ("/settings", "/"):
        page = visitor.page(path)
        allowed(page)
        assert "max_retries must be a number" in text_of(page)


def test_a_page_is_sent_again_only_when_something_has_changed(visitor, spool, clock):
    given.job(spool, "pending", given.named(clock, "a"))

    def steady():
        tag = visitor.get("/workers").headers["etag"]
        return tag if visitor.get("/workers", If_None_Match=tag).status == 304 else None

    tag = wait_until(steady, "a page that rests")
    answer = visitor.get("/workers", If_None_Match=tag)
    assert (answer.status, answer.body) == (304, b"")
    given.job(spool, "pending", given.named(clock, "b"))
    # A directory that took a while to read, as on a busy machine, rests for some times as long.
    wait_until(lambda: "/job/b" in visitor.page("/jobs/pending"), "the new job")
    assert visitor.get("/workers", If_None_Match=tag).status == 200


def test_a_spool_that_goes_away_is_said_and_one_that_comes_back_is_shown(visitor, spool, clock):
    import shutil

    visitor.page("/")
    shutil.rmtree(os.path.join(spool.path, "dead"))
    answer = visitor.get("/jobs/dead")
    assert answer.status == 503
    assert "Traceback" not in answer.text
    os.mkdir(os.path.join(spool.path, "dead"))
    given.job(spool, "dead", given.named(clock, "back"))
    assert "back" in text_of(visitor.page("/jobs/dead"))


def test_a_bug_is_told_on_the_terminal_and_not_in_the_page(spool, monkeypatch, caplog):
    from spoolq import api
    from spoolq.dashboard import app
    from spoolq.dashboard.guard import Keys

    asked = api.Spool(spool.path)
    wsgi = app.make(asked, Keys.new(), read_only=False)
    monkeypatch.setattr(app.views, "settings_of", lambda *_: 1 / 0)
    environ = {
        "REQUEST_METHOD": "GET",
        "PATH_INFO": "/settings",
        "SERVER_NAME": "x",
        "SERVER_PORT": "1",
        "wsgi.url_scheme": "http",
    }
    body = b"".join(wsgi(environ, lambda *_: None)).decode()
    assert "bug in spoolq" in body
    assert "ZeroDivision" not in body
    assert "ZeroDivisionError" in caplog.text
    asked.close()


def test_the_overview_tells_of_schedules_and_of_what_is_wrong_with_one(visitor, spool):
    pytest.importorskip("cronsim", reason="the extra `schedule` is not installed")
    assert "schedule" not in text_of(visitor.page("/"))
    scheduling.add(spool, "nightly", {"cron": "@daily", "job": {"command": "true"}})
    with open(os.path.join(spool.path, "schedules", "<b>.json"), "w") as file:
        file.write("{}")
    page = visitor.page("/")
    allowed(page)
    told = " ".join(text_of(page).split())
    assert "2 schedules, the next " in told
    assert ": nightly." in told
    assert "schedules/<b>.json: a schedule's name has" in told
