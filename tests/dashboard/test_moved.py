"""A spool that is moved away, removed, or made again under a dashboard that runs."""

import contextlib
import os
import shutil
import threading

import pytest

from spoolq import api
from spoolq.dashboard.look import Look
from spoolq.layout import DIRECTORIES
from spoolq.spool import SpoolDir
from tests import given
from tests.conftest import wait_until
from tests.dashboard.conftest import text_of

PAGES = ["/", "/jobs", "/jobs/dead", "/job/a", "/workers", "/settings", "/metrics"]


def go(spool, way, tmp_path):
    if way == "moved":
        os.rename(spool.path, tmp_path / "old")
    else:
        shutil.rmtree(spool.path)


@pytest.mark.parametrize("way", ["moved", "removed"])
def test_a_spool_that_is_not_there_is_said_and_nothing_is_done(visitor, spool, tmp_path, way):
    csrf = visitor.csrf()
    go(spool, way, tmp_path)
    for path in PAGES:
        answer = visitor.get(path)
        assert answer.status == 503, path
        assert "there is no spool at" in text_of(answer.text), path
    for path in ("/pause", "/resume", "/retry", "/cancel"):
        answer = visitor.post(path, [("id", "a")], csrf=csrf)
        assert answer.status == 503, path
        assert "there is no spool at" in text_of(answer.text), path
    assert not (tmp_path / "old" / "paused").exists()
    assert not os.path.exists(spool.path)
    assert visitor.get("/static/spoolq.css").status == 200


@pytest.mark.parametrize("way", ["moved", "removed"])
def test_a_spool_that_is_made_again_is_the_one_that_is_shown_and_changed(
    visitor, spool, clock, tmp_path, way
):
    given.job(spool, "pending", given.named(clock, "old"))
    assert visitor.get("/job/old").status == 200
    for number in range(3):  # more than once
        go(spool, way, tmp_path)
        if number:
            assert visitor.get("/").status == 503
        with contextlib.closing(SpoolDir.create(spool.path)) as fresh:
            given.job(fresh, "dead", given.named(clock, f"new{number}", attempt=4))
            assert visitor.get("/job/old").status == 404
            assert f"new{number}" in visitor.page("/jobs/dead")
            assert "pending 0 " in text_of(visitor.page("/jobs"))
            assert visitor.post("/pause").status == 303
            assert fresh.root.has("paused")
            assert visitor.post("/retry", [("id", f"new{number}")]).status == 303
            assert len(list(fresh.dir("pending").scan())) == 1
        if way == "moved":
            os.rename(tmp_path / "old", tmp_path / f"old{number}")
    assert not (tmp_path / "old0" / "paused").exists()  # what has moved away is left alone


def test_what_is_half_made_is_not_taken_and_costs_no_descriptor(spool, tmp_path):
    with api.Spool(spool.path) as opened:
        look = Look(opened)
        os.rename(spool.path, tmp_path / "old")
        os.makedirs(os.path.join(spool.path, "pending"))
        before = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
        for _ in range(5):
            with pytest.raises(Exception, match="No such file or directory"):
                look.follow()
        if before:
            assert len(os.listdir("/proc/self/fd")) == before
        SpoolDir.create(spool.path).close()
        look.follow()
        assert look.spool is not opened
        look.spool.close()


def test_a_scrape_fails_when_the_spool_is_gone(visitor, spool):
    """ "0 dead" of a spool that is not there would be good news."""
    pytest.importorskip("prometheus_client", reason="the extra `metrics` is not installed")
    assert visitor.get("/metrics").status == 200
    os.rename(os.path.join(spool.path, "dead"), os.path.join(spool.path, "away"))
    assert visitor.get("/metrics").status == 503
    os.rename(os.path.join(spool.path, "away"), os.path.join(spool.path, "dead"))
    assert visitor.get("/metrics").status == 200
    shutil.rmtree(spool.path)
    assert visitor.get("/metrics").status == 503


def test_metrics_see_directories_that_were_made_again(visitor, spool, clock):
    pytest.importorskip("prometheus_client", reason="the extra `metrics` is not installed")
    assert visitor.get("/metrics").status == 200
    shutil.rmtree(os.path.join(spool.path, "dead"))
    os.mkdir(os.path.join(spool.path, "dead"), 0o700)
    given.write(spool, "dead", str(given.named(clock, "a", attempt=4)), '{"command": "x"}')
    wait_until(lambda: 'state="dead"} 1.0' in visitor.get("/metrics").text, "the dead job")


def test_all_directories_are_open_before_threads_come(spool):
    """What is opened on first use would be opened while another thread goes through them all."""
    with api.Spool(spool.path) as opened:
        look = Look(opened)
        assert set(opened.dir._dirs) == set(DIRECTORIES)
        wrong, over = [], threading.Event()

        def visit(act):
            while not over.is_set():
                try:
                    act()
                except Exception as error:
                    wrong.append(error)

        acts = (look.refresh, lambda: [opened.dir.dir(name) for name in DIRECTORIES], look.follow)
        threads = [threading.Thread(target=visit, args=(act,)) for act in acts]
        for thread in threads:
            thread.start()
        for name in DIRECTORIES * 3:
            os.rename(os.path.join(spool.path, name), os.path.join(spool.path, "x"))
            os.rename(os.path.join(spool.path, "x"), os.path.join(spool.path, name))
        over.set()
        for thread in threads:
            thread.join()
        assert [error for error in wrong if not isinstance(error, FileNotFoundError)] == []
