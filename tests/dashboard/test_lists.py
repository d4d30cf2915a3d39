"""Lists of jobs: search, sort and pages, over names that are kept."""

import pytest

from spoolq import api
from spoolq.dashboard import lists
from spoolq.dashboard.lists import PER_PAGE, Query
from spoolq.dashboard.look import Look
from tests import given


@pytest.fixture
def look(spool):
    with api.Spool(spool.path) as opened:
        yield Look(opened)


def asked(look, state="pending", **given_):
    look.refresh()
    return lists.page(look, Query.of(state, given_.get))


def ids(page):
    return [view.id for view in page.jobs]


def fill(spool, clock, count, state="pending"):
    for number in range(count):
        given.job(spool, state, given.named(clock, f"j{number:03}", wait=number))


def test_what_waits_comes_soonest_first_and_what_ended_last_first(spool, clock, look):
    fill(spool, clock, 3)
    fill(spool, clock, 3, "completed")
    assert ids(asked(look)) == ["j000", "j001", "j002"]
    assert ids(asked(look, "completed")) == ["j002", "j001", "j000"]
    assert ids(asked(look, "completed", order="up")) == ["j000", "j001", "j002"]


def test_pages_make_the_whole_list(spool, clock, look):
    fill(spool, clock, 2 * PER_PAGE + 7)
    found, start = [], "0"
    while start is not None:
        page = asked(look, start=start)
        assert page.total == 2 * PER_PAGE + 7
        found += ids(page)
        start = None if page.after is None else str(page.after)
    assert found == [f"j{number:03}" for number in range(2 * PER_PAGE + 7)]
    assert asked(look, start="100").before == 50


def test_lists_are_sorted_by_what_stands_in_the_names(spool, clock, look):
    for job_id, attempt, priority in (("b", 2, 9), ("a", 10, 1), ("c", 1, 5)):
        given.job(spool, "dead", given.named(clock, job_id, attempt=attempt, priority=priority))
    assert ids(asked(look, "dead", sort="id", order="up")) == ["a", "b", "c"]
    assert ids(asked(look, "dead", sort="attempts", order="up")) == ["c", "b", "a"]
    assert ids(asked(look, "dead", sort="priority", order="down")) == ["b", "c", "a"]


def test_all_states_are_one_list(spool, clock, look):
    given.job(spool, "completed", given.named(clock, "old", wait=-60))
    given.job(spool, "pending", given.named(clock, "new", wait=60))
    assert ids(asked(look, "")) == ["new", "old"]


def test_an_id_is_sought_in_all_names(spool, clock, look):
    fill(spool, clock, 120)
    page = asked(look, q="J11")
    assert ids(page) == [f"j11{digit}" for digit in range(10)]
    assert (page.total, page.in_files) == (10, False)


@pytest.mark.parametrize("search", ["BACKUP", "night", "./backup.sh", "/srv data"])
def test_what_is_in_no_id_is_sought_in_commands_names_and_tags(spool, clock, look, search):
    fill(spool, clock, 3)
    name = given.named(clock, "found", wait=-1)
    given.write(
        spool,
        "pending",
        str(name),
        '{"command": ["./backup.sh", "/srv data"], "name": "Backup", "tags": ["nightly"]}',
    )
    page = asked(look, q=search)
    assert page.in_files
    assert ids(page) == ["found"]


def test_files_are_searched_too_where_an_id_fits(spool, clock, look):
    given.job(spool, "pending", given.named(clock, "mail"))
    given.job(spool, "pending", given.named(clock, "b"), tags=["mail"])
    assert ids(asked(look, q="mail")) == ["mail"]
    assert sorted(ids(asked(look, q="mail", **{"in": "text"}))) == ["b", "mail"]


def test_a_search_in_files_stops_in_time_and_goes_on_when_asked(spool, clock, look):
    fill(spool, clock, 40)
    given.job(spool, "pending", given.named(clock, "last1", wait=99), tags=["wanted"])
    look.refresh()
    ticks = iter(range(100))
    query = Query.of("pending", {"q": "wanted"}.get)._replace(text=True)
    first = lists.page(look, query, lambda: next(ticks) / 10)
    assert (ids(first), first.in_files) == ([], True)
    assert 0 < first.end < first.total
    rest = lists.page(look, query._replace(start=first.end))
    assert (ids(rest), rest.after) == (["last1"], None)


def test_what_is_no_job_stands_on_the_first_page(spool, clock, look):
    given.write(spool, "dead", "bad.json", "{")
    given.job(spool, "dead", given.named(clock, "x"))
    page = asked(look, "dead")
    assert [view.filename for view in page.jobs][0] == "bad.json"
    assert page.has_drops
    assert not asked(look, "dead", start="50").has_drops
    assert not asked(look, "dead", q="x").has_drops


@pytest.mark.parametrize("state", ["dead", ""])
def test_what_has_a_name_of_its_own_is_paged_and_found_like_all(spool, clock, look, state):
    names = sorted(f"drop {number:03}.json" for number in range(2 * PER_PAGE + 1))
    for name in names:
        given.write(spool, "dead", name, '{"command": "echo wanted"}' if "077" in name else "{")
    given.job(spool, "dead", given.named(clock, "a"))
    found, start = [], 0
    while start is not None:
        page = asked(look, state, start=str(start))
        found += [view.filename for view in page.jobs]
        start = page.after
    assert found == [*names, str(given.named(clock, "a"))]
    assert [view.filename for view in asked(look, state, q="DROP 099").jobs] == [names[99]]
    assert [view.filename for view in asked(look, state, q="wanted").jobs] == [names[77]]
    for sort in lists.SORTS:
        assert asked(look, state, sort=sort).jobs


@pytest.mark.parametrize(
    "wrong",
    [{"sort": "command"}, {"order": "x"}, {"start": "-1"}, {"start": "9" * 30}, {"start": "x"}],
)
def test_what_is_wrong_in_an_address_counts_as_not_given(spool, look, wrong):
    assert Query.of("dead", wrong.get) == Query("dead")


def test_an_address_asks_for_what_it_was_made_from():
    query = Query("dead", "a&b", True, "id", False, 50)
    assert Query.of("dead", query.arguments().get) == query
    assert Query("dead").arguments() == {}


def test_names_that_only_look_like_jobs_do_not_break_a_list(spool, look):
    for name in ("20261124T020646123456Z.a.b.c.json", "....json", "x" * 22 + ".p.axx.y.json"):
        given.write(spool, "dead", name, "{")
    for sort in lists.SORTS:
        asked(look, "dead", sort=sort)
        asked(look, "", sort=sort)


def test_a_job_that_has_moved_meanwhile_is_left_out(spool, clock, look):
    fill(spool, clock, 3)
    look.refresh()
    spool.dir("pending").discard(str(given.named(clock, "j001", wait=1)))
    page = lists.page(look, Query("pending", descending=False))
    assert ids(page) == ["j000", "j002"]
