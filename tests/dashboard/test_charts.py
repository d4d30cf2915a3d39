"""The geometry of charts: every job counted once, no two runs drawn over each other."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spoolq import instants
from spoolq.dashboard import charts
from spoolq.dashboard.charts import WIDTH, Span, Stretch

NOW = 1_795_000_123.0
SPAN = Span("a while", 10, 60)


def name_at(at):
    return f"{instants.to_stamp(instants.from_epoch(at))}.p5.a1.x.json"


def test_each_job_is_counted_in_its_step():
    held = {
        "completed": sorted(map(name_at, (NOW - 1, NOW - 59, NOW - 61, NOW - 500, NOW - 5000))),
        "dead": [name_at(NOW - 61)],
    }
    bars = charts.ended(held, SPAN, NOW)
    assert len(bars) == 10
    assert sum(bar.completed for bar in bars) == 4
    assert [bar.dead for bar in bars].count(1) == 1
    assert bars[-1].at <= NOW < bars[-1].at + 60


@given(st.lists(st.floats(NOW - 2000, NOW + 2000), max_size=60))
@settings(max_examples=50, deadline=None)
def test_no_job_is_counted_twice(times):
    held = {"completed": sorted(map(name_at, times)), "dead": []}
    bars = charts.ended(held, SPAN, NOW)
    first, last = bars[0].at, bars[-1].at + 60
    inside = [name for name in held["completed"] if name_at(first) <= name < name_at(last)]
    assert sum(bar.total for bar in bars) == len(inside)


def test_a_spread_is_by_the_nearest_rank():
    assert charts.spread([]) is None
    assert charts.spread([7.0]) == (1, 7.0, 7.0, 7.0)
    assert charts.spread(float(n) for n in range(1, 101)) == (100, 50.0, 90.0, 99.0)


@given(st.lists(st.floats(0, 1e7), min_size=1, max_size=50))
@settings(max_examples=80, deadline=None)
def test_every_length_has_a_place_on_the_axis(lengths):
    found = charts.spread(lengths)
    axis = charts.scale([found, None])
    places = [axis.at(value) for value in found[1:]]
    assert places == sorted(places)
    assert all(0 <= place <= WIDTH for place in places)
    assert len(axis.ticks) >= 2
    assert (axis.ticks[0][0], axis.ticks[-1][0]) == (0, WIDTH)


def run(start, end, worker="w", job="j"):
    return Stretch(job, worker, 1, NOW + start, None if end is None else NOW + end, "ok")


def test_of_nothing_there_is_no_timeline():
    assert charts.timeline([], NOW) is None


def test_runs_that_overlap_get_lanes_of_their_own():
    found = charts.timeline([run(-60, -20), run(-50, -10), run(-15, -1)], NOW)
    assert [[drawn.stretch.started_at - NOW for drawn in lane.drawn] for lane in found.lanes] == [
        [-60, -15],
        [-50],
    ]
    assert [lane.first for lane in found.lanes] == [True, False]


def test_each_worker_has_lanes_of_its_own():
    found = charts.timeline([run(-60, -20, "b"), run(-10, -1, "a")], NOW)
    assert [(lane.worker, lane.first) for lane in found.lanes] == [("a", True), ("b", True)]


def test_what_runs_reaches_to_the_end():
    found = charts.timeline([run(-100, None), run(-50, -40)], NOW)
    drawn = next(d for lane in found.lanes for d in lane.drawn if d.stretch.ended_at is None)
    assert drawn.x + drawn.width == pytest.approx(WIDTH, abs=1)


def test_one_long_run_leaves_room_for_the_others():
    runs = [run(-100_000, -1)] + [run(-100 + n, -99 + n) for n in range(60)]
    found = charts.timeline(runs, NOW)
    assert found.since > NOW - 200


def test_lanes_without_room_are_counted():
    found = charts.timeline([run(-60, -1, f"w{n}") for n in range(40)], NOW)
    assert (len(found.lanes), found.hidden) == (24, 16)


@given(
    st.lists(
        st.tuples(st.floats(-5000, -1), st.floats(0, 3000), st.sampled_from("abc"), st.booleans()),
        min_size=1,
        max_size=40,
    )
)
@settings(max_examples=100, deadline=None)
def test_nothing_is_drawn_over_another_run_or_outside(drawn_runs):
    runs = [
        run(start, None if runs_on else min(start + length, 0), worker)
        for start, length, worker, runs_on in drawn_runs
    ]
    found = charts.timeline(runs, NOW)
    for lane in found.lanes:
        assert {drawn.stretch.worker for drawn in lane.drawn} == {lane.worker}
        ends = [NOW if d.stretch.ended_at is None else d.stretch.ended_at for d in lane.drawn]
        starts = [drawn.stretch.started_at for drawn in lane.drawn]
        assert all(end <= start for end, start in zip(ends, starts[1:]))
        for drawn in lane.drawn:
            assert drawn.x >= 0 and drawn.width > 0
            assert drawn.x + drawn.width <= WIDTH + 0.1
    shown = sum(len(lane.drawn) for lane in found.lanes)
    assert 0 < shown <= len(runs)
