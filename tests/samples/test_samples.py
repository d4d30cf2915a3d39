"""Spools of past releases are read, and what was begun in them comes to its end."""

import json
import os
import sys

import pytest

from spoolq import api
from spoolq.errors import WrongFormat
from spoolq.layout import STATES
from tests.samples import listing, picture, unpack

LONG = "_-" + "x" * 62
#: What becomes of each job when a worker has been there: state, and attempts used.
ENDS = {
    "plain": ("completed", 1),
    "words": ("completed", 1),
    LONG: ("completed", 1),
    "0": ("completed", 1),
    "tried": ("completed", 2),  # by a good exit code
    "held": ("pending", 0),
    "later": ("pending", 0),
    "with-at": ("completed", 1),
    "wish": ("dead", 1),
    "call": ("completed", 1),
    "keeps": ("completed", 1),
    "drop": ("completed", 1),
    "given": ("completed", 1),
    "stray": ("completed", 1),
    "lost": ("completed", 2),
    "recorded": ("completed", 1),
    "written": ("completed", 1),
    "cancel-me": ("dead", 1),
    "changed": ("completed", 1),
    "gone": ("dead", 2),  # its last attempt was lost
    "sent": ("processing", 0),  # it may be in the other spool
    "retry": ("completed", 2),
    "final": ("dead", 2),
    "done": ("completed", 1),
    "good-code": ("completed", 1),
    "forwarded": ("completed", 0),
    "answered": ("completed", 1),
    "interrupted": ("completed", 1),
    "dead": ("dead", 2),
    "cancelled": ("dead", 0),
    "all-lost": ("dead", 2),
    "not-taken": ("dead", 0),
    "cannot-start": ("dead", 1),
}
NO_JOBS = {"again", "broken", "empty", "notes", "notes.1", "fifo", "link"}
PRINTED = {
    "plain": "plain\n",
    "words": "a b\n*\n",
    "keeps": "step 7\n",
    "retry": "2\n",
    "lost": "lost\n",
    "drop": "dropped\n",
}

pytestmark = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the sample has a FIFO")


@pytest.fixture
def sample(tmp_path):
    return unpack("format-1", str(tmp_path / "sample"))


@pytest.fixture
def ask(run_cli, sample):
    """Call spoolq on the sample; `python3` of its jobs is this Python."""
    path = f"{os.path.dirname(sys.executable)}:{os.environ['PATH']}"

    def call(*args, **options):
        return run_cli(*args, spool_path=sample, env={"PATH": path}, **options)

    return call


def short(job_id):
    """The id of a job, without what is made for a drop."""
    stem, dash, made = job_id.rpartition("-")
    return stem if dash and len(made) == 13 and stem in ENDS else job_id


def names_in(sample, state):
    return [name for name in os.listdir(os.path.join(sample, state)) if name.endswith(".json")]


def test_it_is_read_and_left_as_it_is(ask, sample):
    before = picture(sample)
    shown = json.loads(ask("list", "--json").stdout)
    there = [name for state in STATES for name in names_in(sample, state) if name[0] != "."]
    assert len(shown) == len(there)
    for job in shown:
        if job["id"] == "stray.json":
            continue  # it has no id yet
        story = ask("show", job["id"]).stdout
        assert json.loads(ask("show", job["id"], "--json").stdout)["state"] == job["state"]
        assert job["id"] in story
    assert json.loads(ask("status", "--json").stdout)
    assert len(json.loads(ask("dlq", "list", "--json").stdout)) == len(names_in(sample, "dead"))
    assert picture(sample) == before


def test_a_doctor_finds_what_crashes_have_left_and_no_more(ask, sample):
    found = json.loads(ask("doctor", "--json", check=False).stdout)["findings"]
    codes = {finding["code"] for finding in found if finding["path"].split("/")[0] in LEFT}
    assert codes == set.union(*LEFT.values())
    assert {finding["code"] for finding in found} & {"format", "unsafe", "doubled-id"} == set()


LEFT = {
    "processing": {"stray", "orphan", "on-its-way", "unfinished-move"},
    "tmp": {"litter"},
    "work": {"work-without-job"},
    "logs": {"log-without-job"},
    "config.json": {"unknown-setting"},
}


def test_a_worker_brings_every_job_to_its_end(ask, sample):
    history = {}
    for job in json.loads(ask("list", "--json").stdout):
        history[short(job["id"])] = job.get("history", [])
    ask("worker", "start", "--drain", "--count", "2")
    found, others = {}, set()
    for job in json.loads(ask("list", "--json").stdout):
        if job["id"].endswith(".json"):
            others.add(job["id"][: -len(".json")])
            assert job["state"] == "dead"
            continue
        found[short(job["id"])] = (job["state"], job["attempts"])
        before = history.get(short(job["id"]), [])
        assert job.get("history", [])[: len(before)] == before
    assert found == ENDS
    assert others == NO_JOBS


def test_what_jobs_print_and_return_is_theirs(ask, sample):
    ask("worker", "start", "--drain")
    ids = {short(job["id"]): job["id"] for job in json.loads(ask("list", "--json").stdout)}
    for name, printed in PRINTED.items():
        assert ask("logs", ids[name]).stdout == printed
    with api.Spool(sample) as spool:
        assert spool.result("call") == 5
        assert spool.result("answered") == 2.0
        assert spool.get("0").job.fields["x-owner"] == "somebody"
        assert spool.get("0").job.fields["nested"] == {"kept": [1, 2.5, None, True, "\u2028"]}
    kept = {entry for entry in os.listdir(os.path.join(sample, "work")) if entry != ".gone"}
    assert "dead" in kept
    assert not {"keeps", "done"} & kept


def test_what_is_not_spoolq_s_is_left_alone(ask, sample):
    ask("worker", "start", "--drain")
    ask("doctor", "--repair", check=False)
    there = picture(sample)
    for path in (
        "pending/notes.txt",
        "pending/.hidden.json",
        "workers/README.txt",
        "logs/sent.log",
        "dead/fifo.json",
        "dead/link.json",
        "dead/notes.json",
    ):
        assert path in there


def test_it_moves_house_whole(ask, run_cli, sample, tmp_path):
    os.unlink(os.path.join(sample, "dead", "fifo.json"))
    os.unlink(os.path.join(sample, "dead", "link.json"))
    other = str(tmp_path / "other")
    states = [word for state in STATES for word in ("--state", state)]
    first = ask("export", *states).stdout
    run_cli("import", stdin=first, spool_path=other)
    again = run_cli("export", spool_path=other).stdout
    first_lines = [json.loads(line) for line in first.splitlines()]
    settled = {line["name"].partition("@")[0] for line in first_lines}
    assert {line["name"].partition("@")[0] for line in map(json.loads, again.splitlines())} == {
        name if name.endswith(".json") else name + ".json" for name in settled
    }
    unmoved = [line for line in first.splitlines() if '"state": "processing"' not in line]
    assert set(unmoved) <= set(again.splitlines())


def test_the_sample_has_every_state_and_is_the_one_that_was_kept():
    found = listing("format-1")
    assert len(found) == 83
    for state in STATES:
        assert any(entry["path"].startswith(state + "/") for entry in found)


# --- a format that is not known -------------------------------------------------------------------

WRITING = [
    ("enqueue", "true"),
    ("enqueue", "--like", "plain"),
    ("enqueue", "-"),
    ("run", "true"),
    ("worker", "start", "--drain"),
    ("worker", "stop"),
    ("worker", "set", "--count", "2"),
    ("cancel", "plain"),
    ("retry", "dead"),
    ("hold", "plain"),
    ("release", "held"),
    ("set", "plain", "priority", "9"),
    ("edit", "plain"),
    ("dlq", "retry", "--all"),
    ("dlq", "purge", "--yes"),
    ("purge", "--yes"),
    ("pause",),
    ("resume",),
    ("config", "set", "max_retries", "7"),
    ("config", "unset", "max_retries"),
    ("init",),
    ("doctor", "--repair"),
    ("import",),
    ("forward", "ELSEWHERE"),
]


@pytest.fixture
def newer(sample):
    path = os.path.join(sample, "config.json")
    with open(path) as file:
        text = file.read()
    with open(path, "w") as file:
        file.write(text.replace('"format": 1', '"format": 2'))
    return sample


@pytest.mark.parametrize("words", WRITING, ids=" ".join)
def test_a_spool_of_a_newer_format_is_refused_by_everything_that_writes(
    ask, newer, tmp_path, words
):
    before = picture(newer)
    words = [str(tmp_path / "elsewhere") if word == "ELSEWHERE" else word for word in words]
    done = ask(*words, check=False, stdin="")
    assert done.returncode != 0
    assert "format 2, and this spoolq knows 1" in done.stderr + done.stdout
    assert picture(newer) == before
    assert not os.path.exists(tmp_path / "elsewhere" / "pending")


def test_nothing_is_forwarded_into_a_newer_format(run_cli, newer, tmp_path):
    before = picture(newer)
    source = str(tmp_path / "source")
    run_cli("enqueue", "true", spool_path=source)
    waiting = names_in(source, "pending")
    done = run_cli("forward", newer, spool_path=source, check=False, env={"PATH": WITH_SPOOLQ})
    assert done.returncode != 0
    assert picture(newer) == before
    assert "format 2" in done.stderr
    assert names_in(source, "pending") == waiting


WITH_SPOOLQ = f"{os.path.dirname(sys.executable)}:{os.environ['PATH']}"


@pytest.mark.parametrize(
    "call",
    [
        lambda spool: spool.enqueue("true"),
        lambda spool: spool.cancel("plain"),
        lambda spool: spool.retry("dead"),
        lambda spool: spool.enqueue_call("os:getpid"),
    ],
    ids=["enqueue", "cancel", "retry", "enqueue_call"],
)
def test_it_is_refused_from_python_too(newer, call):
    before = picture(newer)
    with api.Spool(newer) as spool, pytest.raises(WrongFormat):
        call(spool)
    assert picture(newer) == before
