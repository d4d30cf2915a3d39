"""The pages in a real browser: nothing is blocked, broken, too wide, or out of reach.

Needs Playwright for Python and a Chromium; where one of them is not there, these tests are skipped.
"""

import os
import re
from pathlib import Path

import pytest

from spoolq import control, steering
from tests import given
from tests.conftest import DEADLINE, entries, wait_until
from tests.dashboard import demo
from tests.dashboard.test_pages import STAMP, log_of

playwright = pytest.importorskip("playwright.sync_api", reason="Playwright for Python is not here")
CHROMIUM = demo.chromium()
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here")

CHECKS = Path(__file__).with_name("checks.js").read_text(encoding="utf-8")
WIDTHS = {"phone": 360, "desktop": 1280}


def check(page, name, argument=None):
    """Ask something of a page, by one of the functions in checks.js."""
    return page.evaluate(f"(argument) => {CHECKS}.{name}(argument)", argument)


@pytest.fixture(scope="module")
def chromium():
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox"] if os.geteuid() == 0 else []
        )
        yield browser
        browser.close()


@pytest.fixture
def open_page(chromium, start_dashboard):
    """Open the printed address in a fresh browser; what it complains of fails the test."""
    contexts, complaints = [], []

    def complain(said):
        if not said.location["url"].endswith("/favicon.ico"):  # asked for beside plain text
            complaints.append(said.text)

    def start(*args, width=1280, scripts=True, **options):
        visitor = start_dashboard(*args)
        context = chromium.new_context(
            viewport={"width": width, "height": 800}, java_script_enabled=scripts, **options
        )
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(DEADLINE * 1000)
        page.on("console", complain)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("dialog", lambda dialog: dialog.accept())
        page.goto(visitor.url)
        page.own = visitor.own
        page.go = lambda path: page.goto(visitor.own + path)
        page.visitor = visitor
        return page

    start.complaints = complaints
    yield start
    for context in contexts:
        context.close()
    assert complaints == []


def filled(spool, count=60):
    demo.fill(spool.path, count, dead_share=0.2, waiting=0.2)
    given.write(spool, "dead", "bad.json", "{")


def test_the_token_is_not_in_the_address_bar(open_page):
    page = open_page()
    assert page.url == f"{page.own}/"
    (cookie,) = page.context.cookies()
    assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Strict")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS.values(), ids=WIDTHS)
def test_no_page_is_wider_than_the_window_or_asks_elsewhere(open_page, spool, width, scheme):
    filled(spool)
    (dead, *_) = (name for name in entries(spool, "dead") if name != "bad.json")
    page = open_page(width=width, color_scheme=scheme)
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    for path in (
        "/",
        "/jobs",
        "/jobs/dead",
        f"/job/{dead.split('.')[3]}",
        "/workers",
        "/settings",
        "/nope",
    ):
        answer = page.go(path)
        assert answer.status in (200, 404)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, path
    assert {url.startswith(page.own) for url in asked} == {True}
    open_page.complaints[:] = [text for text in open_page.complaints if "404" not in text]


@pytest.mark.parametrize("scripts", [True, False], ids=["with scripts", "without"])
def test_a_dead_job_is_retried_by_its_button(open_page, spool, clock, scripts):
    """The browser itself sends Origin and Sec-Fetch-Site, under the policy of our own headers."""
    given.job(spool, "dead", given.named(clock, "again", attempt=4))
    page = open_page(scripts=scripts)
    page.go("/jobs/dead")
    page.get_by_role("button", name="Retry again").click()
    page.get_by_role("status").filter(has_text="again runs again.").wait_for()
    assert page.url.startswith(f"{page.own}/jobs/dead?note=")
    assert entries(spool, "pending")


def test_workers_are_paused_and_resumed(open_page, spool):
    page = open_page()
    page.get_by_role("button", name="Pause").click()
    wait_until(lambda: spool.root.has("paused"))
    page.get_by_role("button", name="Resume").click()
    wait_until(lambda: not spool.root.has("paused"))


def test_a_page_of_another_origin_can_do_and_read_nothing(open_page, chromium, spool):
    """A page on another port of this host: the same site, so the browser sends our cookie along."""
    import http.server
    import threading

    class Foreign(http.server.SimpleHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(b"<!doctype html><h1>foreign</h1>")

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Foreign)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        page = open_page()
        csrf = page.locator("input[name=csrf]").first.get_attribute("value")
        page.goto(f"http://127.0.0.1:{server.server_address[1]}/")
        read = check(page, "intrude", [page.own, csrf])
        assert set(read) <= {"refused", 0}
        page.set_content(
            f'<form method="post" action="{page.own}/pause"><input name="csrf" value="{csrf}">'
            f'<button>go</button></form><iframe src="{page.own}/"></iframe>'
        )
        page.get_by_role("button", name="go").click()
        page.wait_for_url(f"{page.own}/pause")
        assert "another site may not fetch this" in page.content()
    finally:
        server.shutdown()
        server.server_close()
    assert not spool.root.has("paused")
    assert open_page.complaints  # the browser said what it refused
    open_page.complaints.clear()


def test_hostile_text_runs_nothing(open_page, spool, clock):
    evil = "<script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">"
    given.job(spool, "dead", given.named(clock, "evil"), command=evil, tags=[evil[:60]])
    log_of(spool, "evil", evil.encode())
    page = open_page()
    for path in (
        "/",
        "/jobs",
        "/jobs/dead",
        "/job/evil",
        f"/job/evil/log/a1.{STAMP}",
        "/jobs?q=" + evil,
    ):
        page.go(path)
        page.wait_for_load_state()
        assert "owned" not in page.title()


def test_a_new_job_appears_by_itself(open_page, spool, clock):
    page = open_page()
    pending = page.locator("[data-announce=pending]")
    assert pending.text_content() == "0"
    given.job(spool, "pending", given.named(clock, "new"))
    page.locator("[data-announce=pending]", has_text=re.compile("^1$")).wait_for()
    page.locator("#announce", has_text="1 pending").wait_for(state="attached")


def test_live_updates_can_be_stopped(open_page, spool, clock):
    page = open_page()
    button = page.locator("#live")
    button.click()
    assert button.get_attribute("aria-pressed") == "false"
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    given.job(spool, "pending", given.named(clock, "new"))
    page.clock.install()
    page.clock.run_for(30_000)
    assert asked == []
    button.click()
    page.locator("[data-announce=pending]", has_text=re.compile("^1$")).wait_for()


def test_a_choice_outlives_an_update(open_page, spool, clock):
    given.job(spool, "dead", given.named(clock, "a"))
    page = open_page()
    page.go("/jobs/dead")
    page.get_by_label("Choose a", exact=True).check()
    given.job(spool, "dead", given.named(clock, "b", wait=1))
    page.locator("[data-announce=dead]", has_text=re.compile("^2$")).wait_for()
    assert page.get_by_label("Choose a", exact=True).is_checked()


def test_a_log_is_followed_to_its_end(open_page, spool, run_cli, start_worker):
    run_cli(
        "enqueue",
        "--id",
        "talk",
        "for i in 1 2 3 4; do echo line $i; sleep 0.7; done; echo '<b>end</b>'",
    )
    start_worker()
    wait_until(lambda: entries(spool, "processing"), "the run")
    page = open_page()
    page.go("/job/talk")
    page.locator("#log", has_text="<b>end</b>").wait_for()
    page.locator("#state-now", has_text="completed").wait_for(state="attached")
    assert page.locator("#log").text_content().split() == (
        "line 1 line 2 line 3 line 4 <b>end</b>".split()
    )


def test_a_server_that_has_gone_is_said(open_page):
    page = open_page()
    page.visitor.process.terminate()
    page.visitor.process.wait()
    page.locator("#live", has_text="No answer").wait_for()
    open_page.complaints.clear()


def test_all_can_be_reached_by_the_keyboard_and_seen(open_page, spool, clock):
    filled(spool, 20)
    page = open_page()
    page.go("/jobs/dead")
    seen = []
    for _ in range(80):
        page.keyboard.press("Tab")
        seen.append(check(page, "focused"))
        if seen[-1][0] == "BODY":
            break
    assert seen[0][:2] == ["A", "#main"]  # over the navigation
    reached = {what for _, what, _ in seen}
    assert {"/", "/jobs", "/workers", "/settings", "q", "live", "only"} <= reached
    assert all(ring for tag, _, ring in seen if tag != "BODY"), seen


def test_pages_have_landmarks_names_and_headings(open_page, spool):
    filled(spool)
    steering.pause(spool)
    page = open_page()
    for path in ("/", "/jobs/dead", "/jobs", "/workers", "/settings"):
        page.go(path)
        wrong = check(page, "nameless")
        assert wrong == [], path


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_words_stand_out_from_what_is_behind_them(open_page, spool, scheme):
    """WCAG 2, 1.4.3: at least 4.5 to 1 for every piece of text."""
    filled(spool)
    page = open_page(color_scheme=scheme)
    for path in ("/", "/jobs/dead", "/settings"):
        page.go(path)
        faint = check(page, "faint")
        assert faint == [], path


@pytest.mark.parametrize("scripts", [True, False], ids=["with scripts", "without"])
@pytest.mark.parametrize(("state", "goes_to"), [("dead", "pending"), ("pending", "dead")])
def test_enter_in_a_box_does_nothing_to_any_job(open_page, spool, clock, scripts, state, goes_to):
    """Enter presses the first button of a form, which was that of the first row."""
    for job_id in ("a", "b"):
        given.job(spool, state, given.named(clock, job_id, attempt=4))
    page = open_page(scripts=scripts)
    page.go(f"/jobs/{state}")
    for box in ("Choose b", "Choose a", "Choose all on this page"):
        page.get_by_label(box, exact=True).press("Enter")
    page.get_by_label("Choose b", exact=True).check()
    page.locator(".bulk button").click()
    page.get_by_role("status").filter(has_text="b ").first.wait_for()
    assert len(entries(spool, state)) == 1 and len(entries(spool, goes_to)) == 1
    assert ".b.json" in entries(spool, goes_to)[0]


def test_the_keyboard_stays_with_its_job_when_the_list_changes(open_page, spool, clock):
    for number, job_id in enumerate("abc"):
        given.job(spool, "dead", given.named(clock, job_id, attempt=4, wait=number))
    page = open_page()
    page.go("/jobs/dead")
    page.get_by_role("button", name="Retry b").focus()
    given.job(spool, "dead", given.named(clock, "d", attempt=4, wait=9))
    page.locator("[data-announce=dead]", has_text=re.compile("^4$")).wait_for()
    assert page.evaluate("document.activeElement.value") == "b"
    control.retry(spool, "b")
    page.locator("[data-announce=dead]", has_text=re.compile("^3$")).wait_for()
    assert page.evaluate("document.activeElement.value") is None  # no other job's button


@pytest.mark.parametrize("width", [320, 360])
def test_the_navigation_is_whole_on_a_phone(open_page, width):
    page = open_page(width=width)
    for link in page.locator("header nav a").all():
        box = link.bounding_box()
        assert box["x"] >= 0 and box["x"] + box["width"] <= width, link.text_content()
    cut = page.evaluate(
        "[...document.querySelectorAll('header nav, header ul')]"
        ".some((one) => one.scrollWidth > one.clientWidth)"
    )
    assert not cut
