"""What may be done from a browser, done through its forms."""

import pytest

from spoolq import names, views
from tests import given
from tests.conftest import entries, wait_until
from tests.dashboard.conftest import text_of


def ids(spool, state):
    return sorted(map(names.id_in, entries(spool, state)))


def ended_in(visitor, answer):
    """Return what the page says to which a form led."""
    assert answer.status == 303, answer
    return text_of(visitor.page(answer.headers["location"]))


def test_a_dead_job_is_retried_from_its_page(visitor, spool, clock):
    given.job(spool, "dead", given.named(clock, "a", attempt=4))
    page = visitor.page("/job/a")
    assert 'action="/retry"' in page and 'action="/cancel"' not in page
    said = ended_in(visitor, visitor.post("/retry", [("only", "a"), ("back", "/job/a")]))
    assert "a runs again." in said
    (name,) = entries(spool, "pending")
    assert ".a0.a.json" in name


def test_a_failed_job_is_retried_or_cancelled(visitor, spool, clock):
    given.job(spool, "failed", given.named(clock, "a", attempt=1, wait=3600))
    given.job(spool, "failed", given.named(clock, "b", attempt=1, wait=3600))
    assert visitor.post("/retry", [("id", "a")]).status == 303
    assert visitor.post("/cancel", [("id", "b")]).status == 303
    assert (ids(spool, "pending"), ids(spool, "dead")) == (["a"], ["b"])


def test_a_waiting_job_is_cancelled(visitor, spool, clock):
    given.job(spool, "pending", given.named(clock, "a"))
    said = ended_in(visitor, visitor.post("/cancel", [("only", "a"), ("back", "/jobs/pending")]))
    assert "a is cancelled." in said
    assert views.find(spool, "a").error == "cancelled"


def test_a_running_job_is_cancelled_by_its_worker(visitor, spool, run_cli, start_worker):
    run_cli("enqueue", "--id", "long", "sleep 300")
    start_worker()
    wait_until(lambda: ids(spool, "processing") == ["long"], "the run")
    assert "Cancel" in text_of(visitor.page("/job/long"))
    assert visitor.post("/cancel", [("only", "long")]).status == 303
    wait_until(lambda: ids(spool, "dead") == ["long"], "the cancelled job")


def test_a_worker_that_takes_its_time_does_not_hold_the_page_up(
    visitor, spool, run_cli, start_worker
):
    run_cli("config", "set", "grace", "3")
    run_cli("enqueue", "--id", "stubborn", "trap '' TERM; while :; do sleep 0.1; done")
    start_worker()
    wait_until(lambda: ids(spool, "processing") == ["stubborn"], "the run")
    said = ended_in(visitor, visitor.post("/cancel", [("only", "stubborn")]))
    assert "its worker has been asked to end it" in said
    wait_until(lambda: ids(spool, "dead") == ["stubborn"], "the cancelled job")


def test_what_was_done_is_seen_at_once_in_a_large_spool(visitor, spool, clock):
    """A large directory is read anew seldom, but for who has just changed it."""
    for number in range(3000):
        given.job(spool, "dead", given.named(clock, f"j{number}", attempt=4, wait=-number))
    visitor.page("/jobs/dead")
    said = ended_in(visitor, visitor.post("/retry", [("only", "j0"), ("back", "/jobs/dead")]))
    assert "dead 2 999 " in said
    assert "\\u" not in said  # the space between thousands is no escape of it


def test_several_are_chosen_at_once(visitor, spool, clock):
    for number in range(8):
        given.job(spool, "dead", given.named(clock, f"j{number}", attempt=4))
    fields = [("id", f"j{number}") for number in range(7)] + [("id", "gone")]
    said = ended_in(visitor, visitor.post("/retry", [*fields, ("back", "/jobs/dead")]))
    assert "there is no job 'gone'" in said
    assert "j0 runs again." in said and "2 more, likewise." in said
    assert (len(ids(spool, "pending")), ids(spool, "dead")) == (7, ["j7"])


def test_the_button_of_a_row_is_for_that_row_alone(visitor, spool, clock):
    for job_id in ("a", "b"):
        given.job(spool, "dead", given.named(clock, job_id, attempt=4))
    visitor.post("/retry", [("id", "a"), ("only", "b")])
    assert ids(spool, "pending") == ["b"]


@pytest.mark.parametrize(
    "fields",
    [
        [],
        [("id", "")],
        [("id", "last")],
        [("id", "../../x")],
        [("id", "bad.json")],
        [("id", "a"), ("id", "-rf")],
        [("only", "\u202e")],
        [("id", "x" * 65)],
    ],
    ids=ascii,
)
@pytest.mark.parametrize("verb", ["/retry", "/cancel"])
def test_what_is_no_id_is_refused_before_anything_is_done(visitor, spool, clock, verb, fields):
    given.job(spool, "dead", given.named(clock, "a", attempt=4))
    given.write(spool, "dead", "bad.json", "{")
    before = given.everything(spool)
    assert visitor.post(verb, fields).status == 400
    assert given.everything(spool) == before


def test_what_cannot_be_done_is_said_and_changes_nothing(visitor, spool, clock):
    given.job(spool, "completed", given.named(clock, "done", attempt=1))
    before = given.everything(spool)
    said = ended_in(visitor, visitor.post("/retry", [("id", "done")]))
    assert "job done is completed; only failed or dead jobs can be retried." in said
    said = ended_in(visitor, visitor.post("/cancel", [("id", "done")]))
    assert "only waiting and running jobs can be cancelled" in said
    assert given.everything(spool) == before


@pytest.mark.parametrize(
    "back",
    [
        "//evil.example/",
        "/\\evil.example",
        "http://evil.example",
        "javascript:alert(1)",
        "/jobs\r\nSet-Cookie: x=y",
        "/" + "x" * 3000,
        "evil",
        "/a//evil.example",
        "",
    ],
)
def test_a_form_leads_back_to_our_own_pages_alone(visitor, spool, back):
    answer = visitor.post("/pause", [("back", back)])
    assert answer.status == 303
    assert answer.headers["location"].startswith("/?note=")
    assert "set-cookie" not in answer.headers


def test_what_came_of_a_form_is_not_in_an_address(visitor):
    location = visitor.post("/pause", [("back", "/jobs?q=x&sort=id")]).headers["location"]
    assert location.startswith("/jobs?q=x&sort=id&note=")
    assert "Paused" not in location
    assert 'role="status"' in visitor.page("/?note=Your+spool+is+broken")
    assert "broken" not in visitor.page("/?note=Your+spool+is+broken")
