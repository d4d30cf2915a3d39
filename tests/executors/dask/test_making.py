"""What the command line may say, and what it hears."""

import builtins
import os
from pathlib import Path

import pytest

from spoolq.errors import BadInput, SpoolqError
from spoolq.executors import choosing, dask
from tests.conftest import wait_until


@pytest.mark.parametrize(
    "options", [{}, {"address": "tcp://a:1", "local": "2"}, {"scheduler_file": "x", "local": "2"}]
)
def test_where_the_scheduler_is_has_to_be_said_once(options):
    with pytest.raises(BadInput):
        dask.identity(options)


def test_the_same_file_is_the_same_scheduler_from_wherever(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    whole = dask.identity({"scheduler_file": str(tmp_path / "scheduler.json")})
    assert dask.identity({"scheduler_file": "scheduler.json"}) == whole
    assert os.path.isabs(whole["scheduler_file"])


@pytest.mark.parametrize("text", ["", "0", "-1", "many", "nan", "inf"])
def test_a_number_that_is_none_is_refused(text):
    with pytest.raises(BadInput, match="lease"):
        dask.make(None, {"address": "tcp://127.0.0.1:1", "lease": text})


def test_without_dask_it_is_said_how_to_get_it(monkeypatch):
    really = builtins.__import__

    def without(name, *rest):
        if name.partition(".")[0] == "distributed":
            raise ImportError("No module named 'distributed'")
        return really(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(SpoolqError) as refused:
        dask.make(None, {"address": "tcp://127.0.0.1:1"})
    assert "pip install 'spoolq[dask]'" in refused.value.hint


def test_dask_is_an_executor_of_the_command_line():
    assert choosing.find("dask") is dask


def test_an_unknown_option_is_refused_before_anything_starts(run_cli):
    done = run_cli("worker", "start", "--executor", "dask", "-o", "adress=x", check=False)
    assert done.returncode == 1 and "did you mean 'address'" in done.stderr


def test_a_scheduler_out_of_reach_is_said_and_waited_for(spool, start_worker):
    worker = start_worker("--executor", "dask", "-o", "address=tcp://127.0.0.1:1")
    said = Path(worker.log_path).read_text
    wait_until(lambda: "trying again" in said(), "the complaint")
    assert said().count("trying again") == 1 and "Traceback" not in said()
    assert worker.poll() is None
