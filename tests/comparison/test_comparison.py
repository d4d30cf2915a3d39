"""The table of features: each cell is well said, was tried as it stands, and is in the docs."""

import re
import sys

import pytest

from tests.comparison import cells, page, trial
from tests.conftest import wait_until
from tests.leftovers import is_alive

COLUMNS = {name: cells.column(name) for name in cells.TOOLS}
CELLS = [cell for _, column in COLUMNS.values() for cell in column.values()]
RESULTS = page.read_results()
TOOL = cells.Tool("shell", "", "true", [], "told() { echo that it can fly; }")

linux = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="trials end what they have started by /proc"
)


def said(**entry):
    """Return a cell of the tool of these tests."""
    return cells.cell("shell", "flying", {"yes": "it does", **entry})


@pytest.mark.parametrize("tool", cells.TOOLS)
def test_each_tool_has_a_cell_for_each_feature_and_no_other(tool):
    assert sorted(COLUMNS[tool][1]) == sorted(feature.name for feature in cells.features())


def test_what_is_not_tried_is_pueue_and_windows_alone():
    untried = {(cell.tool, cell.feature) for cell in CELLS if not cell.run}
    assert {tool for tool, feature in untried if feature != "windows"} == {"pueue"}
    assert all(cell.source for cell in CELLS if not cell.run)


def test_each_cell_was_tried_as_it_stands_and_what_came_shows_it():
    for cell in CELLS:
        if cell.run:
            result = RESULTS[cell.tool]["cells"][cell.feature]
            assert result["typed"] == cell.run, f"{cell.tool}, {cell.feature}: try it again"
            missing = [each for each in cell.shows if not re.search(each, result["printed"], re.M)]
            assert result["missing"] == missing == [], (cell.tool, cell.feature)


def test_the_page_and_the_short_table_are_what_the_cells_and_results_make():
    assert page.PAGE.read_text(encoding="utf-8") == page.text_of(RESULTS)
    readme = page.README.read_text(encoding="utf-8")
    assert readme == page.with_short(readme)


def test_what_is_not_tried_is_marked_in_the_table_and_in_its_section():
    text = page.PAGE.read_text(encoding="utf-8")
    rows = [line.split(" | ") for line in text.splitlines() if line.startswith("| [")]
    column = 1 + cells.TOOLS.index("pueue")
    assert len(rows) == len(cells.features())
    assert all(re.fullmatch(r"\*(yes|partly|no)\*", row[column]) for row in rows)
    untried = sum(not cell.run for cell in CELLS)
    assert text.count(", not tried).\n") == untried


def test_each_row_of_the_table_leads_to_its_section():
    text = page.PAGE.read_text(encoding="utf-8")
    titles = re.findall(r"^### (.*)$", text, re.M)
    anchors = [re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles]
    assert re.findall(r"^\| \[.*?\]\(#(.*?)\)", text, re.M) == anchors


def test_the_short_table_names_features_that_there_are():
    known = {feature.name for feature in cells.features()}
    assert {name for names in page.SHORT.values() for name in names} <= known


@pytest.mark.parametrize(
    "entry",
    [
        {},
        {"run": "true"},
        {"shows": "^0$"},
        {"run": "true", "shows": "^0$", "source": "https://example.org/"},
        {"run": "true", "shows": "^0$", "no": "it does not"},
        {"run": "true", "shows": "^0$", "typo": "x"},
    ],
)
def test_a_cell_without_a_way_of_showing_it_is_refused(entry):
    with pytest.raises(ValueError, match="flying"):
        said(**entry)


@linux
def test_a_trial_that_does_not_print_what_shows_it_does_not_hold():
    assert trial.attempt(TOOL, said(run="echo one", shows="^one$")).holds
    outcome = trial.attempt(TOOL, said(run="echo one", shows=["^one$", "^two$"]))
    assert (outcome.holds, outcome.missing) == (False, ["^two$"])


@linux
def test_that_a_tool_has_no_word_of_something_does_not_hold_where_it_has():
    assert trial.attempt(TOOL, said(without="swim")).holds
    assert not trial.attempt(TOOL, said(without="fly")).holds


@linux
def test_a_trial_that_hangs_is_ended_with_all_that_it_has_started(tmp_path):
    pids = tmp_path / "pids"
    run = (
        f"setsid sleep 1000 & echo $! >> {pids}; "
        f"env -i sleep 1000 & echo $! >> {pids}; echo began; sleep 1000"
    )
    outcome = trial.attempt(TOOL, said(run=run, shows="^never$", takes="1"))
    assert not outcome.holds
    assert outcome.printed.startswith("began\n(ended after 1 second")
    for pid in pids.read_text().split():
        wait_until(lambda pid=pid: not is_alive(int(pid)))
