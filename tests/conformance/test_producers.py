"""What docs/producers.md offers keeps every rule, and its jobs are run by a real worker."""

import json
import subprocess
import sys

import pytest

from spoolq import conformance
from tests.conformance.producers import PROGRAMS, unable, words
from tests.conftest import CAMPAIGNS, DEADLINE, REPOSITORY, entries

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="producers are checked on POSIX")

NAMES = list(PROGRAMS)
#: What each has to take: it is printed by the job, to the byte.
ODD = "printf %s 'ü \"\\ 🚀 \x01\t$HOME\n'"


@pytest.fixture(params=NAMES)
def producer(request, tmp_path):
    """How a producer is called, if its language is here."""
    reason = unable(request.param)
    if reason is not None:
        pytest.skip(reason)
    return words(request.param, str(tmp_path))


def submitted(producer, spool, *command, stdin=None):
    """Submit a job; return what was printed."""
    return subprocess.run(
        [*producer, spool.path, *command],
        input=stdin,
        stdout=subprocess.PIPE,
        check=True,
        timeout=DEADLINE,
    ).stdout.decode("ascii")


def test_a_producer_breaks_no_rule(producer):
    assert conformance.examine(producer, long=CAMPAIGNS).broken == []


def test_spoolq_itself_breaks_no_rule(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))
    own = [sys.executable, "-m", "spoolq", "--spool", "{spool}", "enqueue"]
    report = conformance.examine([*own, "--", "sh", "-c", "{command}"], kills=3, long=CAMPAIGNS)
    assert report.broken == []


def test_a_worker_runs_what_a_producer_submits_under_the_id_that_it_told(producer, spool, run_cli):
    told = [submitted(producer, spool, ODD), submitted(producer, spool, stdin=ODD.encode())]
    run_cli("worker", "start", "--drain")
    assert len(entries(spool, "completed")) == 2
    jobs = json.loads(run_cli("list", "--json", "--state", "completed").stdout)
    assert {job["id"]: job["command"] for job in jobs} == {line.strip(): ODD for line in told}
    assert run_cli("logs", told[1].strip()).stdout == 'ü "\\ 🚀 \x01\t$HOME\n'


def test_a_producer_fails_where_there_is_no_spool(producer, tmp_path):
    done = subprocess.run(
        [*producer, str(tmp_path / "nothing"), "true"],
        capture_output=True,
        timeout=DEADLINE,
    )
    assert done.returncode != 0
    assert done.stdout == b""
    assert done.stderr != b""


def test_the_six_languages_are_there():
    assert sorted(path.name for path in (REPOSITORY / "docs" / "producers").iterdir()) == sorted(
        PROGRAMS
    )
