"""The judges of the campaigns: what counts as a notice, as too much, and as litter."""

import os

import pytest

from . import bounds, checker
from .cases import Bench, Case, demand, perform, summary
from .place import Place


def _control(*complaints: str) -> Case:
    def complain(bench: Bench) -> None:
        bench.wrong += complaints

    return Case("a control", complain, expects="^[a-z0-9]+ is lost$")


def test_a_control_that_finds_its_rule_broken_is_noticed():
    outcome = perform(_control("a worker starts late", "j1 is lost"))
    line = summary("some", False, [outcome])
    assert line["controls"] == {"a control": True}
    assert line["violations"] == 0
    assert "said instead" not in line
    demand(outcome)


@pytest.mark.parametrize("complaints", [(), ("a worker starts late",), ("j1 is lost, or late",)])
def test_a_control_that_says_another_thing_is_not_noticed_and_reported(complaints):
    outcome = perform(_control(*complaints))
    line = summary("some", False, [outcome])
    assert line["controls"] == {"a control": False}
    assert line["said instead"] == {"a control": list(complaints)}
    with pytest.raises(AssertionError, match="is lost"):
        demand(outcome)


def test_a_control_that_breaks_itself_is_not_noticed():
    def breaks(bench: Bench) -> None:
        raise ValueError("\nj1 is lost")

    outcome = perform(Case("a control", breaks, expects="is lost"))
    assert not outcome.is_noticed
    assert len(outcome.wrong) == 1


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="there is no /proc here")
def test_what_takes_too_much_memory_is_noticed():
    held = b"x" * 100_000_000
    assert bounds.memory(os.getpid()) > len(held) // 1024
    assert bounds.greedy(bounds.MEMORY) == []
    assert len(bounds.greedy(bounds.MEMORY + 1)) == 1


def test_a_log_with_too_many_lines_is_noticed():
    runs = 10
    enough = "line\n" * (bounds.LINES_OF_A_RUN * runs + 5)
    assert bounds.wordy(enough, runs, besides=5) == []
    assert len(bounds.wordy(enough + "line\n", runs, besides=5)) == 1


def test_litter_is_noticed_and_what_belongs_there_is_not(tmp_path):
    place = Place(str(tmp_path))
    place.make()
    place.enqueue(['{"command": "echo out", "id": "j1"}'])
    place.spoolq("worker", "start", "--drain")
    found = checker.read(place.spool)
    assert checker.litter(place.spool, found) == []
    for path in ("pending/.bell-x3f9", "tmp/.half", "logs/j2.a1.20261124T020646123456Z.log"):
        (tmp_path / "spool" / path).touch()
    (tmp_path / "spool" / "pending" / ".editors").touch()  # whose it is may come for it
    assert [text.split()[0] for text in checker.litter(place.spool, found)] == [
        "pending/.bell-x3f9",
        "tmp/.half",
        "logs/j2.a1.20261124T020646123456Z.log",
    ]
    left = checker.litter(place.spool, found, gone=["j2"])
    assert len(left) == 2
