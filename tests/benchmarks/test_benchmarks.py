"""The benchmarks run, count right, and their page says what the figures say; never a time."""

import copy
import json
import os
import subprocess
import sys
from importlib import import_module, util

import pytest

from tests.benchmarks import __main__ as program
from tests.benchmarks import bench, disk, plots, report, tables, targets
from tests.benchmarks.made_up import DOCUMENT, FIGURES, entry
from tests.conftest import CAMPAIGNS, NOT_ASKED_FOR, REPOSITORY, environment


def verdicts():
    return {verdict.target.what: verdict for verdict in targets.judge(DOCUMENT["parts"])}


# --- figures --------------------------------------------------------------------------------------


def test_the_median_of_an_even_number_is_between_the_two_in_the_middle():
    assert bench.median([4, 1, 3, 2]) == 2.5


@pytest.mark.parametrize(("percent", "value"), [(50, 50), (95, 95), (99, 99), (100, 100), (1, 1)])
def test_a_percentile_is_a_value_that_was_measured(percent, value):
    assert bench.percentile([*range(100, 0, -1)], percent) == value


def test_a_percentile_of_few_values_is_the_largest():
    assert bench.percentile([3.0, 1.0, 2.0], 99) == 3.0


def test_a_ratio_is_the_median_of_the_rounds_not_of_all():
    assert bench.ratio_of_pairs([10, 200, 30], [10, 100, 60]) == 1.0


def test_figures_are_rounded_wherever_they_lie():
    assert bench.rounded({"a": [1.23456, 7], "b": {"c": 123456.7}}) == {
        "a": [1.235, 7],
        "b": {"c": 123500.0},
    }


def test_everybody_goes_first_once():
    firsts = {bench.rotated(["a", "b", "c"], by)[0] for by in range(3)}
    assert firsts == {"a", "b", "c"}
    assert sorted(bench.rotated(["a", "b", "c"], 7)) == ["a", "b", "c"]
    assert bench.rotated([], 3) == []


def test_a_run_with_a_job_too_many_or_too_few_is_refused(tmp_path):
    out = tmp_path / "out"
    out.write_bytes(b"xxx")
    bench.demand_exactly(out, 3)
    for jobs in (2, 4):
        with pytest.raises(bench.Miscount):
            bench.demand_exactly(out, jobs)


def test_a_run_that_stalls_is_given_up(tmp_path):
    out = tmp_path / "out"
    out.write_bytes(b"xx")
    with pytest.raises(bench.Miscount, match="2 of 3"):
        bench.watch(out, 3, 0.0, stalled=0.05)


def test_the_start_of_the_worker_can_be_left_out():
    seen = bench.Watched(first=1.0, last=3.0, jobs=201)
    assert (seen.a_second, seen.after_first) == (67.0, 100.0)


# --- targets --------------------------------------------------------------------------------------


def test_a_target_is_met_or_not_by_the_figures_alone():
    found = verdicts()
    full = found["jobs a second to xargs -P2, `full`"]
    assert (full.value, full.floor, full.goal) == (0.7, True, False)
    none = found["jobs a second to xargs -P2, `none`"]
    assert (none.floor, none.goal) == (True, True)
    assert found["`enqueue_many`"].goal
    assert not found["`spoolq enqueue -`"].goal
    assert found["an idle worker, 50th percentile"].goal
    assert not found["an idle worker, 99th percentile"].goal
    memory = found["peak memory with 1,000,000 pending"]
    assert (memory.value, memory.floor, memory.goal) == (200.0, True, False)
    assert found["rate with 100,000 pending to that with 2,000"].value == 0.9
    assert found["rate with 1,000,000 pending to that with 2,000"].value == 0.8
    assert found["slowest of `status`, `list`, `show` with 1,000,000 jobs"].value == 2.5


def test_the_best_rival_has_lost_no_job():
    drain = FIGURES["drain"]
    assert targets.best_rival(drain) == "fast|queue"
    assert targets.best_rival(drain, synced=True) == "safe queue"
    assert targets.to_best_rival(drain) == pytest.approx(1.4)


def test_what_was_not_measured_is_neither_met_nor_not():
    assert {verdict.goal for verdict in targets.judge({})} == {None}


def test_a_quick_run_meets_no_target():
    quick = {part: {"here": entry(figures, quick=True)} for part, figures in FIGURES.items()}
    assert {verdict.value for verdict in targets.judge(quick)} == {None}


def test_every_target_finds_its_figure():
    assert [verdict for verdict in targets.judge(DOCUMENT["parts"]) if verdict.value is None] == []


# --- the page -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "text"),
    [(1234567.0, "1,234,567"), (123.4, "123"), (12.34, "12.3"), (1.234, "1.23"), (0.0123, "0.012")],
)
def test_a_figure_is_told_in_about_three_digits(value, text):
    assert tables.short(value) == text


def test_no_figure_is_a_dash():
    assert tables.short(None, "ms") == "–"


def test_every_table_has_rows_of_one_length():
    for part, figures in FIGURES.items():
        blocks = "\n".join(tables.TABLES[part](figures)).split("\n\n")
        rows = [[row for row in block.split("\n") if row.startswith("|")] for block in blocks]
        for block in filter(None, rows):
            lengths = {row.replace("\\|", "").count("|") for row in block}
            assert len(block) > 2 and len(lengths) == 1, block


def test_the_page_says_what_is_not_met_and_what_was_left_out():
    page = report.page(DOCUMENT, ["drain"], "## Notes\n\nBy hand.\n")
    assert (
        "| drain: jobs a second to xargs -P2, `full` | 0.70 | ≥ 0.65: met | ≥ 0.80: **not met**"
        in page
    )
    assert "other queue was left out: not installed: other." in page
    assert "- Not asked for: first queue, second queue." in page
    assert "losing queue did not run each job once in 1 rounds" in page
    assert "benchmarks/drain.svg" in page
    assert page.endswith("## Notes\n\nBy hand.\n")
    assert "quick" not in page


def test_a_page_of_quick_figures_says_that_they_mean_nothing():
    document = copy.deepcopy(DOCUMENT)
    document["parts"]["idle"]["ext4"]["quick"] = True
    assert "its figures mean nothing" in report.page(document, [], "")


def test_a_page_of_one_part_is_a_page():
    document = {**DOCUMENT, "parts": {"idle": DOCUMENT["parts"]["idle"]}}
    page = report.page(document, [], "")
    assert "## Idle" in page
    assert "## Latency" not in page
    assert "not measured" in page


@pytest.mark.skipif(util.find_spec("matplotlib") is None, reason="matplotlib is not installed")
def test_the_plots_are_the_same_each_time_and_name_their_units(tmp_path):
    once = plots.draw(DOCUMENT["parts"], tmp_path / "once")
    again = plots.draw(DOCUMENT["parts"], tmp_path / "again")
    assert once == again == ["drain", *[name for name, *_ in plots.GROWTH]]
    for name in once:
        text = (tmp_path / "once" / f"{name}.svg").read_text(encoding="utf-8")
        assert text == (tmp_path / "again" / f"{name}.svg").read_text(encoding="utf-8")
    assert "jobs a second" in (tmp_path / "once" / "drain.svg").read_text(encoding="utf-8")
    assert "µs a job" in (tmp_path / "once" / "backlog.svg").read_text(encoding="utf-8")


# --- the program ----------------------------------------------------------------------------------


def test_every_part_is_a_module_with_a_table_and_words():
    for part in program.PARTS:
        module = import_module(f"tests.benchmarks.{part}")
        assert callable(module.measure)
        assert isinstance(module.EVERYWHERE, bool)
    assert set(program.PARTS) == set(tables.TABLES) == set(report._PARTS)
    assert {target.part for target in targets.TARGETS} <= set(program.PARTS)


def test_an_unknown_part_or_filesystem_is_refused():
    for words in (["drian"], ["--filesystem", "ext4,ntfs"]):
        with pytest.raises(SystemExit) as refused:
            program.options_of(words)
        assert refused.value.code == 2


def test_parts_are_added_to_a_file_that_has_others(tmp_path):
    path = str(tmp_path / "figures.json")
    assert program.merged(path)["parts"] == {}
    program.keep({"version": 1, "parts": {"idle": {"ext4": {}}}}, path)
    assert program.merged(path)["parts"] == {"idle": {"ext4": {}}}
    assert os.listdir(tmp_path) == ["figures.json"]


def test_a_filesystem_that_cannot_be_made_says_why(monkeypatch):
    assert "is not one of" in disk.unable("ntfs")
    monkeypatch.setattr(disk.os, "geteuid", lambda: 1000, raising=False)
    assert disk.unable("ext4") == "mounting needs root"
    with disk.fresh("ext4") as (place, kind):
        assert os.path.isdir(place)
        assert kind.endswith("not fresh")
    assert not os.path.exists(place)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="it reads /proc")
@pytest.mark.parametrize("part", program.PARTS)
def test_a_quick_run_counts_right(part, tmp_path):
    if not CAMPAIGNS:
        pytest.skip(NOT_ASKED_FOR)
    command = [sys.executable, "-m", "tests.benchmarks", "--quick", "--rivals", "xargs", part]
    done = subprocess.run(
        command,
        cwd=REPOSITORY,
        env=environment(TMPDIR=str(tmp_path)),
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    (measured,) = json.loads(done.stdout)["parts"][part].values()
    assert measured["quick"]
    assert tables.TABLES[part](measured["figures"])
    assert os.listdir(tmp_path) == []
