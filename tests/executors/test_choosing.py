"""Executors by their names: from the metadata of packages, spoolq's own among them."""

import sys
from importlib.metadata import entry_points

import pytest

from spoolq import executors
from spoolq.errors import BadInput
from spoolq.executors import choosing, local


class Point:
    def __init__(self, name, module):
        self.name, self.value, self._module = name, "somewhere", module

    def load(self):
        if isinstance(self._module, Exception):
            raise self._module
        return self._module


@pytest.fixture
def others(monkeypatch):
    points = {
        "well": Point("well", local),
        "broken": Point("broken", ImportError("No module named 'x'")),
        "Odd-name": Point("Odd-name", local),
    }
    monkeypatch.setattr(choosing, "_entry_points", lambda: points)


def test_local_is_an_entry_point_like_any_other():
    found = entry_points()
    if sys.version_info >= (3, 10):
        found = {point.name: point for point in found.select(group=choosing.GROUP)}
    else:
        found = {point.name: point for point in found[choosing.GROUP]}
    assert found["local"].load() is choosing.find("local") is local


def test_a_package_s_executor_is_found_by_its_name(others):
    assert choosing.find("well") is local


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("wel", "no executor 'wel'; did you mean 'well'"),
        ("broken", "cannot be loaded: No module named 'x'"),
        ("Odd-name", "no executor 'Odd-name'"),  # it would not fit into a slot's name
    ],
)
def test_what_is_no_executor_is_refused_with_a_reason(others, kind, words):
    with pytest.raises(BadInput) as refused:
        choosing.find(kind)
    assert words in str(refused.value)
    assert refused.value.hint


def test_an_option_that_an_executor_does_not_have_is_refused():
    with pytest.raises(BadInput, match="the executor 'local' has no option 'x'"):
        choosing.known_options("local", local, {"x": "1"})


@pytest.mark.parametrize("kind", ["dask", "psijlocal", "a1"])
def test_a_slot_says_which_executor_has_the_run(kind):
    assert executors.is_kind(kind)
    assert executors.kind_of(executors.slot_name(kind, 12)) == kind


@pytest.mark.parametrize("slot", ["0", "12", "change", "lostabc123", "cancelabc123", None, "_1"])
def test_other_slots_are_of_runs_on_this_machine_or_none(slot):
    assert executors.kind_of(slot) is None
    assert executors.kind_of(executors.slot_name("local", 3)) is None
