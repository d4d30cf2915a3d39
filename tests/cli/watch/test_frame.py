"""The picture of a scene: what is on it at which size, and that it always fits."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from spoolq.cli.watch.frame import draw, share
from spoolq.cli.watch.lines import Span
from spoolq.cli.watch.scene import Crew, Detail, Rate
from tests.cli.watch.made_up import HOSTILE, NOW, row, scene

MANY = (3, 90_000, 7, 20, 9_970)  # 10^5 jobs
SEVEN = (2, 2, 1, 1, 1)
BOTTOM = [Span("q", "bold"), Span(" quit")]


def text(found):
    return "\n".join(line.plain.rstrip() for line in found.lines)


def drawn(given, columns=100, height=30, **options):
    found = draw(given, columns, height, NOW, bottom=BOTTOM, **options)
    assert height is None or len(found.lines) == height
    assert all(cell_len(line.plain) <= columns for line in found.lines)
    return found


@pytest.mark.parametrize("numbers", [(0,) * 5, SEVEN, MANY], ids=["none", "seven", "many"])
@pytest.mark.parametrize("columns", [20, 80, 200])
@pytest.mark.parametrize("height", [5, 24, 100, None])
def test_a_picture_has_the_size_of_its_screen(numbers, columns, height):
    found = drawn(scene(numbers), columns, height)
    if height is not None:
        assert found.lines[-1].plain == "q quit"
    if height != 5 and columns > 20:
        for number in filter(None, numbers):
            assert str(number) in text(found)


def test_a_spool_without_jobs_says_how_to_begin():
    found = text(drawn(scene(crew=())))
    assert "spoolq enqueue 'echo hello'" in found
    assert "spoolq worker start --count 2" in found
    assert "no worker" in found
    assert "worker start" not in text(drawn(scene()))


def test_seven_jobs_are_all_told_of():
    found = text(drawn(scene(SEVEN), 120))
    assert "spoolq /srv/spool" in found
    assert "1 worker, 1 of 2 busy" in found
    assert "pending 2   processing 2   failed 1   completed 1   dead 1" in found
    assert " runn1 1 s     1/4 web1-4121-x7f3kq.1 echo hello  │ echo hello" in found
    assert " next1 in 1 s  1/4 echo hello" in found
    assert " retr0 now     1/4 [echo hello] echo hello" in found
    assert " dead0 0 s ago 1/4 [echo hello] echo hello" in found
    assert " comp0 0 s ago 1/4 took 1.5 s echo hello" in found
    assert re.search(r" web1-4121-x7f3kq  1 of 2 busy, since [-0-9: ]+\n", found)


def test_each_kind_has_its_share_of_a_full_screen():
    found = text(drawn(scene(MANY)))
    for title in ("RUNNING 3\n", "NEXT 4 of 90000\n", "RETRIES 4 of 7\n", "DEAD 4 of 20\n"):
        assert title in found


def test_on_the_smallest_screen_what_runs_is_left():
    assert text(drawn(scene(MANY), 20, 5)).splitlines() == [
        "spoolq …rv/spool 1/2",
        "P90000 R3 F7 C9970 …",
        "RUNNING 1 of 3",
        " runn0 0 s echo hel…",
        "q quit",
    ]


def test_the_bars_show_how_many_ended_and_where_some_died():
    found = drawn(scene(SEVEN, rate=Rate(1.0, (0, 4, 12, 8), (0, 0, 0, 0))))
    assert found.lines[2].plain == "▁▄█▆  24 ended in 4 s, 5.3/s: 2 due take 0.4 s"
    died = drawn(scene(SEVEN, rate=Rate(10.0, (0, 1), (0, 1))))
    assert died.lines[2][1] == Span("█", "red")
    assert died.lines[2].plain == "▁█  2 ended in 20 s"
    none = drawn(scene(SEVEN, rate=Rate(1.0, (0,) * 60, (0,) * 60)))
    assert none.lines[2].plain.endswith("none ended in 1 min")


def test_how_long_it_takes_is_told_in_two_units():
    given = scene(SEVEN, due=99_774, rate=Rate(1.0, (73,) * 11, (0,) * 11))
    assert "73.0/s: 99774 due take 22 m 47 s" in text(drawn(given))


def test_what_is_wrong_is_at_the_top():
    given = scene(SEVEN, paused=True, warnings=("worker w is in trouble: disk full",))
    given = given._replace(
        crew=(*given.crew, Crew("web2-1-abcdef", 1, 1, None, False)),
        old=frozenset({"pending"}),
        counts={**given.counts, "ignored": 3},
    )
    found = text(drawn(given))
    assert " PAUSED " in found
    assert "! worker w is in trouble: disk full" in found
    assert "web2-1-abcdef  gone; the next worker takes its jobs over" in found
    assert "pending ≈2" in found
    assert "no jobs 3" in found


def test_what_is_paused_and_in_use_has_a_line_where_there_is_any():
    told = ("paused tags: night\x1b[2J", "limits: gpu 1/1")
    found = text(drawn(scene(SEVEN, standing=told)))
    assert "limits: gpu 1/1" in found
    assert "paused tags: night" in found
    assert "\x1b" not in found
    assert "limits" not in text(drawn(scene(SEVEN)))


def test_of_a_job_that_has_gone_since_the_look_it_is_said():
    given = scene(SEVEN)._replace(detail=lambda row: Detail())
    assert text(drawn(given)).count("has moved on") == sum(SEVEN)
    assert "moved on" not in text(drawn(scene(SEVEN)))


def test_a_filter_that_finds_nothing_says_so():
    found = text(drawn(scene(sought="\x1bxyz")))
    assert "filter: \\x1bxyz" in found
    assert "no job has '\\x1bxyz' in its id, command, name, tags or state" in found


def test_the_chosen_job_is_marked_and_always_in_sight():
    for number in (0, 5, 150):
        found = drawn(scene(MANY), selected=f"next{number}")
        marked = [line for line in found.lines if line.plain.startswith("▌")]
        assert [line.plain.split()[0] for line in marked] == [f"▌next{number}"]
        assert all("reverse" in span.style for span in marked[0])
        assert row("next", number) in found.rows


@given(
    st.dictionaries(st.sampled_from(["running", "next", "dead", "workers"]), st.integers(1, 99)),
    st.integers(0, 120),
)
def test_no_more_rows_are_given_than_there_is_room_for(sizes, room):
    found = share(sizes, room)
    assert sum(found.values()) + len(found) <= room or not found
    assert all(1 <= count <= sizes[kind] for kind, count in found.items())
    if room >= sum(sizes.values()) + len(sizes):
        assert found == sizes


@given(
    st.text() | st.sampled_from(HOSTILE),
    st.integers(1, 300),
    st.integers(1, 100),
    st.tuples(*[st.sampled_from([0, 1, 3, 250])] * 5),
)
def test_no_line_is_wider_than_the_screen_whatever_jobs_hold(words, columns, height, numbers):
    given = scene(numbers, text=words, warnings=(words, words), sought=words, paused=True)
    sections = [
        section._replace(rows=[each._replace(id=words) for each in section.rows])
        for section in given.sections
    ]
    given = given._replace(path=words, sections=sections)
    found = draw(given, columns, height, NOW, selected=words, bottom=[Span("q")])
    assert len(found.lines) == height
    for line in found.lines:
        assert cell_len(line.plain) <= columns
        assert line.plain.isprintable()


def test_which_schedule_comes_next_stands_beside_the_rate():
    shown = text(drawn(scene(SEVEN, coming="schedule nightly at 02:30:00")))
    assert re.search(r"ended in .* +schedule nightly at 02:30:00$", shown, re.MULTILINE)
    assert "schedule" not in text(drawn(scene(SEVEN)))
