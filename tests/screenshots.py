"""Pictures of the dashboard for the docs, and what its pages weigh and take: in a real browser.

    python -m tests.screenshots            pictures into docs/pictures/, of a made spool
    python -m tests.screenshots measure    page weight and first paint with 0, 7 and 100,000 jobs

Needs Playwright for Python (`pip install playwright`) and a Chromium of this system.
"""

import os
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager

from spoolq.api import Spool
from spoolq.spool import SpoolDir
from tests.conftest import REPOSITORY, environment, wait_until
from tests.dashboard import demo

PICTURES = REPOSITORY / "docs" / "pictures"
MOST_BYTES = 150_000
COUNTS = (0, 7, 100_000)
_SPOOLQ = [sys.executable, "-m", "spoolq"]

RUNNING = (
    ("import", 'for n in $(seq 600); do echo "row $n: ok"; sleep 0.2; done'),
    ("transcode", 'for n in $(seq 600); do echo "frame $((n * 24)) fps=24.0"; sleep 1; done'),
)


@contextmanager
def _process(path, *args):
    process = subprocess.Popen(
        [*_SPOOLQ, "--spool", path, *args],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment(),
        text=True,
    )
    try:
        yield process
    finally:
        process.terminate()
        process.wait()


@contextmanager
def browser():
    """A Chromium of this system."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as started:
        options = ["--no-sandbox"] if os.geteuid() == 0 else []
        found = started.chromium.launch(executable_path=demo.chromium(), args=options)
        yield found
        found.close()


@contextmanager
def dashboard(path):
    """A dashboard of a spool; yields its address with the token."""
    with _process(path, "dashboard", "--port", "0") as process:
        yield process.stdout.readline().strip()


# --- pictures -------------------------------------------------------------------------------------


def pictures():
    """Write the pictures of the docs."""
    PICTURES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as directory:
        path = os.path.join(directory, "spool")
        SpoolDir.create(path).close()
        demo.fill(path, 2500, hours=23)
        with Spool(path) as spool:
            ids = [spool.enqueue(line, name=name, priority=9) for name, line in RUNNING]
            spool.enqueue(
                "curl -fsS https://example.invalid/feed", name="feed", priority=9, backoff_base=600
            )
            with _process(path, "worker", "start", "--count", "3"):
                wait_until(lambda: spool.counts()["failed"], "a job that waits for its retry")
                time.sleep(8)  # for output to look at; nothing is judged by it
                with dashboard(path) as url, browser() as chromium:
                    _take(chromium, url, ids[0], _a_dead_job(spool))
                for job_id in ids:
                    spool.cancel(job_id, timeout=20)


def _a_dead_job(spool):
    return next(view.id for view in spool.list("dead") if view.error == "timeout")


def _take(chromium, url, running, dead):
    own = url.split("/?")[0]
    for name, address, width, height, scheme in (
        ("overview", "/?span=day", 1200, 1400, "light"),
        ("overview-phone", "/?span=day", 390, 1500, "dark"),
        ("job", f"/job/{running}", 1200, 860, "dark"),
        ("dead-letters", "/jobs/dead", 1200, 760, "light"),
        ("dead-letters-phone", "/jobs/dead", 390, 900, "light"),
    ):
        context = chromium.new_context(
            viewport={"width": width, "height": height}, color_scheme=scheme
        )
        page = context.new_page()
        page.goto(url)
        page.goto(own + address)
        page.wait_for_load_state("networkidle")
        target = PICTURES / f"dashboard-{name}.png"
        page.screenshot(path=target, animations="disabled")
        context.close()
        size = target.stat().st_size
        print(f"{target.relative_to(REPOSITORY)}: {size} bytes")
        assert size < MOST_BYTES, f"{target} is too large for the docs"


# --- figures --------------------------------------------------------------------------------------

_PAINT = """() => {
  const of = (kind) => performance.getEntriesByType(kind);
  const paint = of("paint").find((entry) => entry.name === "first-contentful-paint");
  const all = [...of("navigation"), ...of("resource")];
  const weight = all.reduce((sum, entry) => sum + entry.transferSize, 0);
  return [paint ? paint.startTime : null, all[0].responseStart, weight, all[0].transferSize];
}"""
_PAGES = ("/", "/jobs", "/jobs?q=sendmail", "/jobs/completed?sort=id&start=50000", "/jobs/dead")


def measure():
    """Print what pages weigh, and when they are painted first; the best of five each."""
    print("| jobs | page | bytes of HTML | bytes in all | answer begins | first paint |")
    print("|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as directory, browser() as chromium:
        for count in COUNTS:
            path = os.path.join(directory, f"spool-{count}")
            SpoolDir.create(path).close()
            demo.fill(path, count)
            with dashboard(path) as url:
                for address in _PAGES:
                    _measure(chromium, url, count, address)


def _measure(chromium, url, count, address):
    best = None
    for _ in range(5):
        context = chromium.new_context()
        page = context.new_page()
        page.goto(url)
        page.goto(url.split("/?")[0] + address)
        page.wait_for_load_state("load")
        found = wait_until(lambda page=page: _painted(page), "the first paint")
        best = min(best or found, found)
        context.close()
    paint, first, weight, html = best
    print(f"| {count:,} | `{address}` | {html:,} | {weight:,} | {first:.0f} ms | {paint:.0f} ms |")


def _painted(page):
    found = page.evaluate(_PAINT)
    return found if found[0] is not None else None


if __name__ == "__main__":
    measure() if sys.argv[1:] == ["measure"] else pictures()
