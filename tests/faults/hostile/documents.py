"""Files that are no jobs, hundreds at one go: each ends in dead/ byte for byte, and no other waits.

The corpora of the standard library's own JSON tests are read from the interpreter that runs this,
where it ships them.
"""

import collections
import glob
import json
import os
import re
from typing import Dict, List, Tuple

from ..cases import Bench, Case
from ..place import SETTINGS, body, wait_for
from . import hosting

_DEEP = 100_000
_DIGITS = b"9" * 5000
_JOB = b'{"command": "true"'

#: By what is wrong with them.
BROKEN: Dict[str, bytes] = {
    "empty": b"",
    "a blank": b" ",
    "NUL bytes": b"\0" * 4096,
    "cut short": b'{"command": "echo',
    "a byte order mark": b"\xef\xbb\xbf" + _JOB + b"}",
    "UTF-16": '{"command": "true"}'.encode("utf-16"),
    "UTF-16 BE": '{"command": "true"}'.encode("utf-16-be"),
    "UTF-32": '{"command": "true"}'.encode("utf-32"),
    "invalid UTF-8": b'{"command": "\xff\xfe"}',
    "overlong UTF-8": b'{"command": "\xc0\xaf"}',
    "UTF-8 of a surrogate": b'{"command": "\xed\xa0\x80"}',
    "a lone surrogate": b'{"command": "\\ud800"}',
    "a lone low surrogate": b'{"command": "true", "name": "\\udc00x"}',
    "a lone surrogate in a key": _JOB + b', "\\udfff": 1}',
    "NaN": _JOB + b', "timeout": NaN}',
    "Infinity": _JOB + b', "x": Infinity}',
    "-Infinity": _JOB + b', "x": [-Infinity]}',
    "1e999": _JOB + b', "timeout": 1e999}',
    "-1e999 deep": _JOB + b', "x": {"y": [-1e999]}}',
    "duplicate keys": _JOB + b', "command": "false"}',
    "duplicate keys inside": _JOB + b', "env": {"A": "1", "A": "2"}}',
    "deep lists": _JOB + b', "x": ' + b"[" * _DEEP + b"]" * _DEEP + b"}",
    "deep objects": b'{"a":' * _DEEP + b"1" + b"}" * _DEEP,
    "open lists": b"[" * _DEEP,
    "5,000 digits": _JOB + b', "x": ' + _DIGITS + b"}",
    "5,000 digits of a priority": _JOB + b', "priority": ' + _DIGITS + b"}",
    "5,000 digits of a fraction": _JOB + b', "timeout": ' + _DIGITS + b".0}",
    "a list at the top": b'["true"]',
    "a string at the top": b'"true"',
    "a number at the top": b"12",
    "null": b"null",
    "two documents": _JOB + b"}" + _JOB + b"}",
    "a trailing comma": _JOB + b",}",
    "a comment": _JOB + b"} // yes",
    "no command": b'{"id": "x"}',
    "an id of another world": _JOB + b', "id": "../../etc/passwd"}',
    "an id that is a path": _JOB + b', "id": "/etc/passwd"}',
    "an id with a newline": _JOB + b', "id": "a\\nb"}',
    "the id last": _JOB + b', "id": "last"}',
    "an empty id": _JOB + b', "id": ""}',
    "a time without an offset": _JOB + b', "run_at": "2026-01-01T00:00:00"}',
    "a time that is none": _JOB + b', "run_at": "soon"}',
    "a time beyond all": _JOB + b', "run_at": 1e300}',
    "a time before all": _JOB + b', "run_at": -1e18}',
    "history of text": _JOB + b', "history": "none"}',
    "history of numbers": _JOB + b', "history": [1, 2]}',
    "an env of numbers": _JOB + b', "env": {"A": 1}}',
    "an = in an env name": _JOB + b', "env": {"A=B": "1"}}',
    "a NUL in an env name": _JOB + b', "env": {"A\\u0000B": "1"}}',
    "an empty env name": _JOB + b', "env": {"": "1"}}',
    "a NUL in an env value": _JOB + b', "env": {"A": "\\u0000"}}',
    "a NUL in cwd": _JOB + b', "cwd": "/tmp\\u0000"}',
    "a NUL in the command": b'{"command": "echo \\u0000"}',
    "a NUL in an argument": b'{"command": ["echo", "\\u0000"]}',
    "no arguments": b'{"command": []}',
    "an empty program": b'{"command": [""]}',
    "an empty command": b'{"command": ""}',
    "too long": _JOB + b', "x": "' + b"x" * 1_100_000 + b'"}',
}
_WRONG_TYPES = ("true", '"3"', "1.5", "[]", "{}", "-1")
_TYPED = ("command", "priority", "max_retries", "backoff_base", "timeout", "cwd", "env", "name")


def _typed() -> Dict[str, bytes]:
    """Return jobs in which one field has a wrong type, for certain."""
    fine = {("timeout", "1.5"), ("backoff_base", "1.5"), ("env", "{}"), ("command", '"3"')}
    fine |= {("cwd", '"3"'), ("name", '"3"')}
    found = {}
    for field in _TYPED:
        for value in _WRONG_TYPES:
            if (field, value) not in fine:
                start = "" if field == "command" else '"command": "true", '
                text = f'{{{start}"{field}": {value}}}'
                found[f"{field} is {value}"] = text.encode()
    return found


def corpora() -> Dict[str, bytes]:
    """Return what the interpreter's own tests of JSON try, raw, as a command and as a field."""
    from test.test_json import test_fail, test_pass1, test_pass2, test_pass3

    texts = list(test_fail.JSONDOCS) + [test_pass1.JSON, test_pass2.JSON, test_pass3.JSON]
    folder = os.path.dirname(test_fail.__file__)
    for name in ("decode", "scanstring", "unicode", "float", "recursion"):
        # Their examples are inside of their methods: every literal of each of them is one.
        for path in glob.glob(os.path.join(folder, f"test_{name}.py")):
            texts += _literals(path)
    found = {}
    for number, text in enumerate(texts):
        data = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
        found[f"corpus {number}"] = data
        found[f"corpus {number} as a command"] = b'{"command": ' + data + b"}"
        found[f"corpus {number} as a field"] = _JOB + b', "x": ' + data + b"}"
    return found


def _literals(path: str) -> List[object]:
    import ast

    with open(path, encoding="utf-8") as file:
        tree = ast.parse(file.read())
    values = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)]
    return [one for one in values if isinstance(one, (str, bytes)) and len(one) < 10_000]


def _drops() -> Tuple[Dict[str, bytes], str]:
    """Return what is dropped, by name, and why the corpora are not among it, or ""."""
    found = {**BROKEN, **_typed()}
    reason = ""
    try:
        found.update(corpora())
    except ImportError as error:
        reason = f"this interpreter ships no tests: {error}"
        for size in range(300):  # as many, all cut short somewhere
            found[f"cut at {size}"] = (_JOB + b', "name": "' + b"x" * 400)[:size]
    return {f"h{number:04}.json": data for number, data in enumerate(found.values())}, reason


def _mass(bench: Bench) -> None:
    place = bench.place
    place.make(max_retries=0)
    drops, _ = _drops()
    top, pending = os.path.join(place.top, "aside"), os.path.join(place.spool, "pending")
    os.mkdir(top)
    for name, data in drops.items():
        with open(os.path.join(top, name), "wb") as file:
            file.write(data)
    with open(os.path.join(top, "sparse.json"), "wb") as file:
        file.truncate(1 << 30)
    goods = [f"good{number}" for number in range(40)]
    lines = [json.dumps({"command": body("sleep 0.01; "), "id": one}) for one in goods]
    with hosting.workers(bench, 2) as crew:
        place.enqueue(lines[:20])
        for name in (*drops, "sparse.json"):
            os.rename(os.path.join(top, name), os.path.join(pending, name))
        place.enqueue(lines[20:])
        hosting.ran_once(bench, goods, 90)
        _settle(bench, 120)
        hosting.at_rest(bench, crew)
    _judge(bench, drops)


def _settle(bench: Bench, seconds: float) -> None:
    place = bench.place
    settled = wait_for(lambda: not place.names("pending") + place.names("processing"), seconds)
    bench.check(settled, f"these wait for ever: {place.names('pending')[:5]}")


def _judge(bench: Bench, drops: Dict[str, bytes]) -> None:
    """See where each drop is: a job that may run, or dead under its own name, byte for byte."""
    place = bench.place
    said = place.said()
    lines = collections.Counter(re.findall(r"(h\d{4}|sparse)\b", said))
    dead = set(place.names("dead"))
    adopted = collections.Counter(
        match.group(1)
        for state in ("completed", "dead", "failed")
        for match in (re.search(r"\.(h\d{4})-[^.]*\.json$", name) for name in place.names(state))
        if match
    )
    must_die = set(BROKEN.values()) | set(_typed().values())
    for name, data in drops.items():
        stem = name[:5]
        if name in dead:
            with open(os.path.join(place.spool, "dead", name), "rb") as file:
                bench.check(file.read() == data, f"{data[:80]!r} was changed")
            bench.check(f"dead/{name}: " in said, f"no reason is told for {data[:80]!r}")
        else:
            why = f"{data[:80]!r} is neither dead nor one job"
            with_its_id = b'"id"' in data
            bench.check(with_its_id or adopted[stem] == 1, why)
            bench.check(data not in must_die, f"{data[:80]!r} was taken for a job")
        bench.check(lines[stem] <= 12, f"{lines[stem]} lines are about {data[:80]!r}")
    bench.check("sparse.json" in dead, "a file of 1 GiB is not dead")
    bench.count("files dropped", len(drops) + 1)
    bench.count("of them no jobs", len(dead & set(drops)) + 1)
    listed = place.spoolq("dlq", "list")
    bench.check("h0000" in listed.stdout, "dlq list does not name the first")
    for name in sorted(dead & set(drops))[::40]:
        shown = place.spoolq("show", name, check=False)
        bench.check("problem" in shown.stdout, f"show {name}: {shown.stdout} {shown.stderr}")
        hosting.no_bug(bench, shown.stderr, "show")


_RAISES = """
from spoolq import adoption
def raises(self, filename, error, settings):
    raise error
adoption.Intake.doubt = raises
"""


def _mass_with_one_that_raises(bench: Bench) -> None:
    bench.place = bench.place.spoiled(_RAISES)
    bench.place.make(max_retries=0)
    with open(os.path.join(bench.place.spool, "pending", "bad.json"), "wb") as file:
        file.write(b"{")
    with hosting.workers(bench):
        hosting.good(bench)
        _settle(bench, 5)


def _named_by_the_form(bench: Bench) -> None:
    """Files whose names are jobs' and whose contents are none, in every state."""
    place = bench.place
    place.make(max_retries=0)
    form = "20200101T000000000000Z.p5.a{}.{}{}.json"
    for state in ("pending", "failed", "completed", "dead", "processing"):
        owner = "@gone-1-abcd.0" if state == "processing" else ""
        for number, data in enumerate((b"", b"{", b"\0" * 100, b"[" * _DEEP, b'{"command": 1}')):
            name = form.format(1, f"{state}{number}", owner)
            with open(os.path.join(place.spool, state, name), "wb") as file:
                file.write(data)
            bench.count("files named like jobs")
    with open(os.path.join(place.spool, "pending", form.format(0, "name", "")), "wb") as file:
        file.write(_JOB + b', "id": "other"}')
    with hosting.workers(bench) as crew:
        hosting.good(bench)
        settled = wait_for(lambda: not place.names("pending") + place.names("processing"), 60)
        bench.check(settled, f"left: {place.names('pending')} {place.names('processing')}")
        bench.check(not place.names("failed"), f"failed for ever: {place.names('failed')}")
        named = [name for name in place.names("completed") if ".name." in name]
        bench.check(len(named) == 1, "the id in the name is not the job's")
        hosting.at_rest(bench, crew)
    for verb in (["list"], ["status"], ["dlq", "list"], ["show", "completed0"], ["logs", "dead1"]):
        done = place.spoolq(*verb, check=False)
        bench.check(done.returncode in (0, 1), f"{verb}: {done.returncode} {done.stderr[:300]}")
        hosting.no_bug(bench, done.stderr, str(verb))


def _settings(bench: Bench) -> None:
    """config.json full of rubbish: refused with a reason, or the last good settings stay."""
    place = bench.place
    place.make(max_retries=0)
    path = os.path.join(place.spool, "config.json")
    rubbish = {**BROKEN, "an unknown version": b'{"format": 2}', "a version": b'{"format": "1"}'}
    del rubbish["too long"]
    with hosting.workers(bench):
        for what, data in rubbish.items():
            with open(path + ".new", "wb") as file:
                file.write(data)
            os.replace(path + ".new", path)
            bench.count("rubbish in config.json")
            if bench.tried["rubbish in config.json"] % (1 if bench.long else 6) == 0:
                done = place.spoolq("status", check=False)
                hosting.no_bug(bench, done.stderr, f"status with {what}")
                told = done.returncode == 1 or "config.json" in done.stderr
                bench.check(told or what == "null", f"status says nothing of {what}")
        with open(path, "w", encoding="ascii") as file:
            json.dump({**SETTINGS, "format": 2}, file)
        refused = place.spoolq("enqueue", "true", check=False)
        bench.check(refused.returncode == 1, f"format 2 was not refused: {refused.stderr}")
        hosting.no_bug(bench, refused.stderr, "enqueue with format 2")
        with open(path, "w", encoding="ascii") as file:
            json.dump(SETTINGS, file)
        hosting.good(bench)


CASES = [
    Case("hundreds of files that are no jobs, at one go", _mass),
    Case("files named like jobs", _named_by_the_form),
    Case("rubbish in config.json", _settings),
    Case(
        "an adoption that lets a bad file raise",
        _mass_with_one_that_raises,
        expects=r"wait for ever: \['bad\.json'\]",
    ),
]
