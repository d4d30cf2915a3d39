"""Files of many megabytes hold up no page but their own."""

import json
import threading
import time

import pytest

from spoolq import api, instants
from spoolq.dashboard import reading
from spoolq.dashboard.look import Look
from spoolq.dashboard.reading import Reader, Unread
from tests import given
from tests.dashboard.conftest import text_of


def entries_of(clock, count):
    run = {
        "attempt": 1,
        "worker": "w-1-x",
        "started_at": instants.to_rfc3339(instants.later(clock(), -9)),
        "finished_at": instants.to_rfc3339(clock()),
        "exit_code": 1,
    }
    return [run] * count


def large(spool, clock, job_id, state="dead", count=9000):
    name = given.named(clock, job_id, attempt=1)
    given.job(spool, state, name, history=entries_of(clock, count))
    return name


@pytest.fixture
def look(spool):
    with api.Spool(spool.path) as opened:
        yield Look(opened)


def test_a_large_file_is_listed_by_its_name(visitor, spool, clock):
    large(spool, clock, "big")
    given.job(spool, "dead", given.named(clock, "small", attempt=1))
    for path in ("/", "/jobs/dead", "/jobs"):
        page = text_of(visitor.page(path))
        assert "big" in page and "a large file: open it to see what it is" in page, path
        assert "echo small" in page
        assert "no job" not in page
    page = text_of(visitor.page("/job/big"))
    assert "echo big" in page and "w-1-x" in page
    assert "big" in visitor.page("/jobs?q=big")


def test_no_list_reads_a_large_file(monkeypatch, spool, clock, look):
    for number in range(3):
        large(spool, clock, f"big{number}", ("dead", "completed", "failed")[number])
    look.refresh()
    monkeypatch.setattr("spoolq.views.look", lambda *_: pytest.fail("read"))
    assert [view.id for view in look.newest("dead", 5)] == ["big0"]
    assert look.recent() == []


def test_what_there_is_no_time_for_is_shown_by_its_name(spool, clock, look):
    name = str(given.job(spool, "dead", given.named(clock, "a")))
    now = [0.0]
    read = Reader(look.spool, monotonic=lambda: now[0])
    assert read("dead", name).job is not None
    now[0] = reading.PATIENCE + 1
    view = read("dead", name)
    assert (view.id, view.job, type(view.problem)) == ("a", None, Unread)
    assert read("dead", "gone") is None


def test_the_charts_stop_reading_when_their_time_is_over(monkeypatch, spool, clock, look):
    """What they have read is kept, so that the next look comes further."""
    for number in range(20):
        given.job(spool, "dead", given.named(clock, f"j{number}", attempt=1))
    look.refresh()
    ticks = iter(range(1000))
    monkeypatch.setattr(Reader, "is_late", lambda _: next(ticks) >= 5)
    assert len(look.recent()) == 5
    monkeypatch.undo()
    assert len(look.recent()) == 20


def test_other_pages_are_answered_while_a_file_is_read(monkeypatch, spool, clock, look):
    """Nothing is read under the lock that every page takes."""
    given.job(spool, "dead", given.named(clock, "a"))
    look.refresh()
    reads, goes_on = threading.Event(), threading.Event()
    told = look._census.ended_job

    def slowly(*args):
        reads.set()
        assert goes_on.wait(60)
        return told(*args)

    monkeypatch.setattr(look._census, "ended_job", slowly)
    thread = threading.Thread(target=look.recent)
    thread.start()
    assert reads.wait(60)
    answered = threading.Event()
    other = threading.Thread(
        target=lambda: (look.refresh(), look.counts(), look.names("dead"), answered.set())
    )
    other.start()
    assert answered.wait(60)
    goes_on.set()
    thread.join()
    other.join()


def test_a_page_that_has_not_changed_reads_no_job_again(monkeypatch, spool, clock):
    from spoolq.dashboard import app
    from spoolq.dashboard.guard import Keys

    given.job(spool, "dead", given.named(clock, "a"))
    with api.Spool(spool.path) as opened:
        wsgi = app.make(opened, Keys.new(), read_only=True)

        def ask(tag=""):
            environ = {
                "REQUEST_METHOD": "GET",
                "PATH_INFO": "/job/a",
                "SERVER_NAME": "x",
                "SERVER_PORT": "1",
                "wsgi.url_scheme": "http",
                "HTTP_IF_NONE_MATCH": tag,
            }
            said = []
            list(wsgi(environ, lambda status, headers, *_: said.extend((status, dict(headers)))))
            return said

        monkeypatch.setattr(app.time, "time", lambda: 0.0)  # a page is made anew as time goes by
        status, headers = ask()
        assert status.startswith("200")
        monkeypatch.setattr("spoolq.views.look", lambda *_: pytest.fail("read"))
        assert ask(headers["ETag"])[0].startswith("304")
        monkeypatch.undo()
        given.write(spool, "dead", str(given.named(clock, "a")), '{"command": "another"}')
        assert ask(headers["ETag"])[0].startswith("200")


def test_a_large_environment_makes_no_large_page(visitor, spool, clock):
    env = {f"NAME{number}": "x" for number in range(20_000)}
    given.job(spool, "pending", given.named(clock, "a"), env=env)
    page = visitor.page("/job/a")
    assert len(page) < 50_000
    assert "and 19 900 more" in text_of(page)


def test_a_crowd_of_large_files_holds_no_page_up(visitor, spool, clock):
    name = large(spool, clock, "big", count=60_000)
    path = f"{spool.path}/dead/{name}"
    with open(path, "rb") as file:
        data = file.read()
    assert len(data) > 6 << 20
    for number in range(29):
        given.write(spool, "dead", str(given.named(clock, f"big{number}", attempt=1)), data)
    began = time.monotonic()
    json.loads(data)
    one = time.monotonic() - began
    took = []
    threads = [threading.Thread(target=visitor.get, args=("/",)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for path in ("/jobs/dead", "/workers", "/settings", "/"):
        began = time.monotonic()
        assert visitor.get(path).status == 200
        took.append(time.monotonic() - began)
    for thread in threads:
        thread.join()
    assert max(took) < max(30 * one, 3)  # to read each of them once takes several times that
