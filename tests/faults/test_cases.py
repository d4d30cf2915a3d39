"""The judge of the controls: only what a control has to say counts as noticed."""

import pytest

from .cases import Bench, Case, demand, perform, summary


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
