"""The simulation is held to what was measured, and the page to what it was made from."""

import json
import os
import random

import pytest

from tests.benchmarks.bench import Bench
from tests.scaling import counts, others, small, steps
from tests.scaling.rows import Rows, middle

pytest.importorskip("simpy", reason="the simulation needs simpy, of the extra `test`")
from tests.scaling import report, scenarios  # noqa: E402
from tests.scaling.simulate import Case, simulate  # noqa: E402

BOUND = 0.25  # of what was measured
needs_proc = pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="it reads /proc")
KINDS = {"measured", "derived", "fitted", "parameter", "by design", "cited", "to be measured"}


def beyond(ratios):
    """Return the ratios that are out of bounds."""
    return [round(ratio, 2) for ratio in ratios if abs(ratio - 1) > BOUND]


def measured_cases():
    return [(row, measured) for row, measured, _ in scenarios.checked()]


def seconds(name):
    return scenarios.TABLE[name]["value"]


# --- the simulation -------------------------------------------------------------------------------


def test_every_measured_case_is_simulated_to_within_a_quarter():
    ratios = [simulated / measured for _, measured, simulated in scenarios.checked()]
    assert len(ratios) >= 40
    assert beyond(ratios) == []


@pytest.mark.parametrize("wrong", [{"lost": 0.0}, {"crowd": 1.0}, {"durable": 0.0, "crowd": 1.0}])
def test_a_simulation_without_what_workers_cost_each_other_is_found_out(wrong):
    ratios = [scenarios.simulated(row, **wrong) / rate for row, rate in measured_cases()]
    assert beyond(ratios) != []


def test_what_sharing_one_spool_costs_is_simulated_and_is_nothing_where_lost_claims_are_free():
    def shared(**changes):
        """Return what eight workers do on one spool, of what they do on four."""
        cases = scenarios.MEASURED["cases"]
        one, four = (middle(cases[f"8x1 on {spools}, full, short"]) for spools in (1, 4))
        simulated = [scenarios.simulated(row, **changes) for row in (one, four)]
        return simulated[0] / simulated[1], one["a_second"] / four["a_second"]

    simulated, measured = shared()
    assert abs(simulated - measured) < 0.05
    free, measured = shared(lost=0.0)
    assert abs(free - measured) > 0.08


@pytest.mark.parametrize("key", ["2x1", "4x1", "8x1", "4x4"])
def test_as_many_claims_are_lost_as_were_counted(key):
    workers, slots = map(int, key.split("x"))
    counted = middle(scenarios.MEASURED["counts"][key])["lost_for_each"]
    figures = simulate(
        Case(workers, slots, backlog=2000, seconds=1), scenarios.costs(), random.Random(1)
    )
    assert figures.lost / figures.ran == pytest.approx(counted, rel=0.15)


def test_hosts_of_their_own_do_as_much_as_so_many_simulated_together():
    one = scenarios.rate(Case(2, backlog=3000, seconds=2), scenarios.costs())
    four = scenarios.rate(Case(8, spools=4, hosts=4, backlog=12_000, seconds=2), scenarios.costs())
    assert four == pytest.approx(4 * one, rel=0.02)


def test_no_more_jobs_run_than_come_and_each_waits():
    case = Case(3, 2, arrivals=200, seconds=4, warm=0)
    figures = simulate(case, scenarios.costs(), random.Random(1))
    assert 600 < figures.ran == len(figures.waits) < 1000
    least = scenarios.costs().wake + scenarios.costs().start + scenarios.costs().spawn
    assert min(figures.waits) >= least


def test_jobs_wait_longer_under_more_load():
    def half(arrivals):
        case = Case(1, 4, arrivals=arrivals, seconds=4)
        waited = simulate(case, scenarios.costs(), random.Random(1)).waits
        return sorted(waited)[len(waited) // 2]

    most = scenarios.capacity(1, 4)
    assert half(0.3 * most) < half(0.9 * most) < half(1.1 * most)


def test_a_server_far_away_costs_a_worker_its_round_trips():
    near, far = (scenarios.over_nfs(1, trip) for trip in (0.0005, 0.001))
    trips = seconds("trips_start") + seconds("trips_end")
    assert 1 / far - 1 / near == pytest.approx(trips * 0.0005, rel=0.1)


# --- the table of costs ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", scenarios.TABLE)
def test_every_cost_says_how_it_is_known(name):
    entry = scenarios.TABLE[name]
    assert entry["kind"] in KINDS
    assert (entry["value"] is None) == (entry["kind"] == "to be measured")
    assert entry["where"] or entry["kind"] in ("parameter", "to be measured")
    if entry["kind"] == "cited":
        assert "https://" in entry["where"]


def test_what_was_measured_here_is_in_the_table():
    step = {name: middle(taken) for name, taken in scenarios.MEASURED["steps"].items() if taken}
    assert seconds("look") == pytest.approx(step["directory of 100000"]["look"], rel=0.1)
    assert seconds("rename") == pytest.approx(step["directory of 1000"]["rename_into"], rel=0.1)
    herd = (step["herd of 8"]["cpu"] - step["herd of 1"]["cpu"]) / 7
    assert seconds("herd") == pytest.approx(herd, rel=0.1)


def test_a_lost_claim_costs_what_lies_between_a_loop_and_a_busy_machine():
    rows = scenarios.MEASURED["counts"]["8x1"]
    now, before = (
        middle([row for row in rows if bool(row.get("locks_each")) == each])["each"]
        for each in (False, True)
    )
    loop = middle(scenarios.MEASURED["steps"]["lost claim"])
    assert loop["lost"] < seconds("lost") < now
    assert loop["lost"] + loop["slot"] < seconds("lost_before") < before
    assert seconds("lost") / seconds("lost_before") == pytest.approx(now / before, rel=0.05)


def test_what_is_derived_follows_from_the_cases_that_it_is_derived_from():
    def core(durability):
        rows = scenarios.MEASURED["cases"][f"1x1 on 1, {durability}, short"]
        return 1 / middle([row for row in rows if row.get("locks_each")])["a_second"]

    worker = seconds("start") + seconds("end") + seconds("spawn")
    assert seconds("command") == pytest.approx(core("none") - worker, rel=0.01)
    assert seconds("durable") == pytest.approx(core("full") - core("none"), rel=0.01)


# --- the page -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["costs", "lost", "directory", "checked"])
def test_the_tables_of_the_page_are_those_that_the_program_makes(name):
    text = report.PAGE.read_text(encoding="utf-8")
    assert report.filled(text, {name: report.TABLES[name]}) == text


def test_a_table_that_is_nowhere_is_no_table():
    with pytest.raises(LookupError, match="0 places for the table nowhere"):
        report.filled("text", {"nowhere": list})


# --- measuring ------------------------------------------------------------------------------------


@needs_proc
def test_real_workers_and_producers_are_measured_and_kept_row_by_row(tmp_path):
    bench = Bench(str(tmp_path), "here", quick=True, rounds=1)
    rows = Rows(str(tmp_path / "rows.json"))
    case = small.Case(2, 1, 2, "none", small.SHORT, 12)
    feed = small.Feed(2, 1, "none", 5, 2)
    rows.measure(bench, "cases", case.key(), lambda: small.run(case, bench))
    rows.measure(bench, "feeds", feed.key(), lambda: small.produce(feed, bench))
    rows.measure(bench, "counts", "2x1", lambda: counts.lost_claims(bench, 2, 1))
    rows.measure(bench, "steps", "lost", lambda: steps.lost_claim(bench))
    rows.measure(bench, "steps", "directory", lambda: steps.directory(bench, 30))
    kept = json.loads((tmp_path / "rows.json").read_text())
    assert kept["cases"]["2x1 on 2, none, short"][0]["a_second"] > 0
    assert kept["feeds"]["2 on 1, none, 5 at a time"][0]["a_second"] > 0
    assert kept["counts"]["2x1"][0]["won"] == 20
    assert set(kept["steps"]) == {"lost", "directory"}


def test_a_row_in_which_others_did_much_is_not_kept(tmp_path, monkeypatch):
    monkeypatch.setattr("tests.scaling.rows._is_calm", lambda: True)
    bench = Bench(str(tmp_path), "here")
    rows = Rows(str(tmp_path / "rows.json"))
    for busy in (1.5, 0.1):
        rows.measure(bench, "steps", "x", lambda busy=busy: {"others_cores": busy})
    assert [row["others_cores"] for row in rows.document["steps"]["x"]] == [0.1]


def test_a_process_is_ours_if_one_of_its_parents_is(monkeypatch):
    monkeypatch.setattr(others.os, "getpid", lambda: 10)
    processes = {pid: others._Process(parent, 1.0) for pid, parent in ((10, 1), (11, 10), (12, 11))}
    processes[20] = others._Process(1, 1.0)
    assert [others._is_ours(pid, processes) for pid in (10, 12, 20, 99)] == [
        True,
        True,
        False,
        False,
    ]
