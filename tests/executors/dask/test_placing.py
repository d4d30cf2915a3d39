"""Room on Dask workers, without any."""

import pytest

from spoolq.executors import NoRoom
from spoolq.executors.dask.placing import Host, Placing
from spoolq.names import Name

RUNS = [Name("20261124T020646123456Z", 5, 1, f"job{n}", "w", f"dask_{n}") for n in range(4)]


@pytest.fixture
def placing():
    placing = Placing()
    placing.hosts = {
        "a": Host(2, {"gpu": 1.0}),
        "b": Host(3, {"gpu": 2.0, "memory": 10.0}),
        "c": Host(1, {}),
    }
    return placing


def test_there_is_room_for_as_many_runs_as_there_are_threads(placing):
    assert placing.threads() == 6
    assert Placing().threads() == 0


def test_needs_go_where_they_are_free_until_none_is(placing):
    for run in RUNS[:3]:
        placing.place(run, {"gpu": 1.0})
    with pytest.raises(NoRoom, match="not free"):
        placing.place(RUNS[3], {"gpu": 1.0})
    placing.remove(RUNS[1])
    placing.place(RUNS[3], {"gpu": 1.0})


def test_two_halves_on_two_workers_make_no_whole(placing):
    placing.place(RUNS[0], {"gpu": 2.0})
    with pytest.raises(NoRoom, match="not free"):
        placing.place(RUNS[1], {"gpu": 2.0})


def test_what_no_worker_has_is_said(placing):
    with pytest.raises(NoRoom, match="no Dask worker has gpu=3"):
        placing.place(RUNS[0], {"gpu": 3.0})
    with pytest.raises(NoRoom, match="no Dask worker has tape=1"):
        placing.place(RUNS[0], {"tape": 1.0})


def test_tenths_add_up(placing):
    placing.hosts = {"a": Host(20, {"share": 1.0})}
    for number in range(10):
        placing.place(RUNS[0]._replace(id=str(number)), {"share": 0.1})
    with pytest.raises(NoRoom):
        placing.place(RUNS[1], {"share": 0.1})


def test_what_needs_nothing_always_finds_room(placing):
    for number in range(100):
        placing.place(RUNS[0]._replace(id=str(number)), {})
