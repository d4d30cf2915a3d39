"""Commands that cannot be started, and commands that turn on their worker and their spool."""

import json
import os
from typing import Any, Dict, List, Set, Tuple

from .. import checker
from ..cases import Bench, Case, end
from ..place import SETTINGS, body, wait_for
from . import hosting

#: Refused where they are given; dropped, they are no jobs.
_REFUSED: Tuple[Dict[str, Any], ...] = (
    {"command": []},
    {"command": [""]},
    {"command": ""},
    {"command": ["echo", "a\0b"]},
    {"command": "echo \0"},
    {"command": "true", "env": {"A=B": "x"}},
    {"command": "true", "env": {"": "x"}},
    {"command": "true", "env": {"A\0": "x"}},
    {"command": "true", "env": "A=B"},
    {"command": "true", "tags": "one"},
    {"command": ["echo", 3]},
    {"command": {"sh": "true"}},
)
#: Jobs that fail with a reason when their time comes.
_FAILING: Tuple[Dict[str, Any], ...] = (
    {"command": ["echo", "x" * 200_000]},
    {"command": ["true", *["y" * 100_000] * 30]},  # no job: longer than a file may be
    {"command": ["/no/such/program"]},
    {"command": ["/etc/passwd"]},
    {"command": ["/"]},
    {"command": "true", "cwd": "/no/such/place"},
    {"command": "true", "cwd": "/etc/passwd"},
    {"command": "exit 300"},
    {"command": "kill -9 $$"},
    {"command": "kill -SEGV $$"},
    {"command": "kill -STOP $$", "timeout": 1},
    {"command": "sleep 60 & kill -STOP 0", "timeout": 1},
)
#: What the record of some of them says; whom a shell ends, it ends by the last eight bits.
_RECORDED: Dict[str, Dict[str, Any]] = {
    "exit 300": {"exit_code": 44},
    "kill -9 $$": {"signal": 9},
    "kill -SEGV $$": {"signal": 11},
    "kill -STOP $$": {"error": "timed out after 1 s"},
    "sleep 60 & kill -STOP 0": {"error": "timed out after 1 s"},
}
_OWN = '"$SPOOLQ_SPOOL/workers/$SPOOLQ_WORKER/{}"'
_TURNING = (
    "exec >&- 2>&-; ",
    "cat; ",
    "head -c 300000 /dev/urandom; ",
    "head -c 3000000 /dev/zero | tr '\\0' x; ",
    "setsid sleep 0.1; ",
    'rm -f "$SPOOLQ_SPOOL/processing/"*; ',
    'for f in lock junk 0.outcome; do echo x >"$SPOOLQ_SPOOL/workers/$SPOOLQ_WORKER/$f"; done; ',
    'rm -f "$SPOOLQ_SPOOL/workers/$SPOOLQ_WORKER/"*.lock; ',
    'rm -f "$SPOOLQ_SPOOL/workers/$SPOOLQ_WORKER/lock"; ',
    'rm -f "$SPOOLQ_SPOOL/logs/"*; ',
    'echo rubbish >"$SPOOLQ_SPOOL/config.json"; ',
    'rm -rf "$SPOOLQ_SPOOL/tmp"; mkdir -m 700 "$SPOOLQ_SPOOL/tmp"; ',
    f"mkdir -p {_OWN.format('x/y')}; ",
    f"mkdir -p {_OWN.format('x/y')}; rm -f {_OWN.format('lock')}; ",
    f"mkdir -p {_OWN.format('0.outcome/x')}; ",
)


def _drop(bench: Bench, jobs: Tuple[Dict[str, Any], ...], name: str) -> List[str]:
    for number, fields in enumerate(jobs):
        path = os.path.join(bench.place.top, "aside")
        with open(path, "w", encoding="utf-8") as file:
            json.dump(fields, file)
        os.rename(path, os.path.join(bench.place.spool, "pending", f"{name}{number}.json"))
    bench.count("hostile commands", len(jobs))
    return [f"{name}{number}" for number in range(len(jobs))]


def _commands(bench: Bench) -> None:
    place = bench.place
    place.make(max_retries=0)
    for fields in _REFUSED:
        done = place.spoolq("enqueue", "-", stdin=json.dumps(fields) + "\n", check=False)
        bench.check(done.returncode in (1, 2), f"{fields} was not refused: {done.stdout}")
        hosting.no_bug(bench, done.stderr, f"enqueue {fields}")
    bench.check(not place.names("pending"), "something refused was enqueued")
    refused, failing = _drop(bench, _REFUSED, "refused"), _drop(bench, _FAILING, "failing")
    with hosting.workers(bench):
        hosting.good(bench)
        want = len(refused) + len(failing)
        bench.check(wait_for(lambda: len(place.names("dead")) == want, 60), "not all are dead")
        hosting.good(bench)
    for view in json.loads(place.spoolq("dlq", "list", "--json").stdout):
        last = (view.get("history") or [{}])[-1]
        told = view.get("error") or last.get("error") or last.get("signal")
        bench.check(told or last.get("exit_code"), f"{view.get('id')} is dead without a reason")
    recorded = {str(job.fields["command"]): job for job in _dead(bench)}
    for command, wanted in _RECORDED.items():
        last = recorded[command].history[-1] if command in recorded else {}
        same = {key: last.get(key) for key in wanted} == wanted
        bench.check(same, f"{command!r} is recorded as {last}, and should be {wanted}")


def _dead(bench: Bench) -> List[checker.Found]:
    """Return the jobs in dead/; what else is there was refused."""
    return [job for job in checker.read(bench.place.spool).jobs.values() if job.state == "dead"]


def _turning(bench: Bench) -> None:
    place = bench.place
    place.make(max_retries=0)
    known: Set[str] = set()
    for what in _TURNING:
        said = len(place.said())
        with hosting.workers(bench, count=2):
            place.enqueue([body(what)])
            bench.count("commands that turn on the spool")
            hosting.no_bug(bench, place.said()[said:], what)
            still = wait_for(lambda: not place.names("pending") + place.names("processing"), 30)
            bench.check(still, f"the spool does not settle after {what}")
            hosting.good(bench)
        _set_anew(bench)
        swept = place.start("worker", "start", "--drain")
        over = wait_for(lambda one=swept: one.poll() is not None, 20)  # type: ignore
        bench.check(over and swept.returncode == 0, f"the next worker after {what} does not leave")
        end(swept)
        left = set(place.names("workers")) - known
        bench.check(not left, f"after {what} workers/ holds {left} for ever")
        known |= left


def _set_anew(bench: Bench) -> None:
    with open(os.path.join(bench.place.spool, "config.json"), "w", encoding="ascii") as file:
        json.dump({**SETTINGS, "max_retries": 0}, file)


CASES = [
    Case("commands that cannot be started", _commands),
    Case("commands that turn on the spool", _turning),
]
