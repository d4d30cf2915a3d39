"""The half of `forward` that takes jobs in: once each, strictly, and durably."""

import io
import json
import os
import tempfile

import pytest
from hypothesis import given as given_
from hypothesis import settings
from hypothesis import strategies as st

from spoolq import instants, wire
from spoolq.api import Spool
from spoolq.errors import BadInput, NoSpool, OutcomeUnknown
from spoolq.names import Name
from spoolq.receiving import Receiver, converse
from spoolq.spool import SpoolDir
from spoolq.wire import Answer
from tests import given
from tests.conftest import entries

GREETING = wire.greeting("forward", worker="laptop-1-abc")


def line(job_id="j1", attempt=0, stamp="20261124T020646123456Z", **fields):
    content = {"command": "echo hello", "created_at": "2026-11-24T02:06:46Z", **fields}
    return wire.job_line(
        Name(stamp, 5, attempt, job_id), json.dumps(content, indent=1).encode("utf-8")
    )


def said_to(spool, *parts):
    """What a receiver says to these bytes, line by line, and what it raised."""
    sink = io.BytesIO()
    error = None
    try:
        converse(io.BytesIO(b"".join(parts)), sink, lambda: spool)
    except Exception as raised:
        error = raised
    return [json.loads(text) for text in sink.getvalue().splitlines()], error


def kinds(answers):
    return [answer.kind for answer in answers]


def test_a_batch_is_answered_in_order_and_is_there(spool):
    said, error = said_to(
        spool, GREETING, line("a"), line("b", 2), wire.end_line(2), wire.end_line(0)
    )
    assert error is None
    assert said[0]["spoolq"] == "receive" and said[0]["spool"] == spool.path
    assert said[1:] == [{"answer": "taken"}] * 2
    assert entries(spool, "pending") == [
        "20261124T020646123456Z.p5.a0.a.json",
        "20261124T020646123456Z.p5.a2.b.json",
    ]


def test_half_a_batch_is_nothing(spool):
    for cut in (line("a"), line("a") + line("b")[:20], line("a") + b'{"end":'):
        assert said_to(spool, GREETING, cut)[0][1:] == []
    assert entries(spool, "pending") == []


def test_what_is_brought_twice_is_there_once(spool):
    receiver = Receiver(spool)
    assert kinds(receiver.take([line("a")])) == ["taken"]
    assert kinds(receiver.take([line("a"), line("b")])) == ["there", "taken"]
    assert len(entries(spool, "pending")) == 2


@pytest.mark.parametrize("state", ["pending", "failed", "completed", "dead"])
def test_it_is_there_in_whatever_state_it_is(spool, state):
    Receiver(spool).take([line("a")])
    (name,) = entries(spool, "pending")
    os.rename(os.path.join(spool.path, "pending", name), os.path.join(spool.path, state, name))
    assert kinds(Receiver(spool).take([line("a")])) == ["there"]


@pytest.mark.parametrize(
    "other", [{"command": "echo bye"}, {"created_at": "2026-11-24T02:06:47Z"}, {"command": ["a"]}]
)
def test_an_id_of_another_job_is_refused(spool, other):
    Receiver(spool).take([line("a")])
    (answer,) = Receiver(spool).take([line("a", **other)])
    assert answer.kind == "refused" and "its id is taken there" in answer.reason


def test_an_id_of_what_is_no_job_is_refused(spool):
    given.write(spool, "dead", "20261124T020646123456Z.p5.a0.a.json", "no job")
    (answer,) = Receiver(spool).take([line("a")])
    assert answer.kind == "refused" and "that is no job" in answer.reason


def test_one_bad_job_holds_up_no_other(spool):
    bad = [
        b"nonsense\n",
        b"20261124T020646123456Z.p5.a0.x.json no json\n",
        b'20261124T020646123456Z.p5.a0.x.json {"command": ""}\n',
        b'../../etc/passwd {"command": "true"}\n',
        b'20261124T020646123456Z.p5.a0.x@w-1-a.0.json {"command": "true"}\n',
        b'20261124T020646123456Z.p5.a0.last.json {"command": "true"}\n',
        b'20261124T020646123456Z.p5.a0.x.json {"command": "true", "command": "twice"}\n',
        b'\xff\xfe {"command": "true"}\n',
        b'20261124T020646123456Z.p5.a0.x.json {"command": "\xff"}\n',
    ]
    answers = Receiver(spool).take([*bad, line("good"), line("good")])
    assert kinds(answers) == ["refused"] * len(bad) + ["taken", "refused"]
    assert len(entries(spool, "pending")) == 1


@pytest.mark.parametrize(
    "talk",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"\0" * 100_000,
        b'{"spoolq": "forward"',
        b'{"spoolq": "forward", "version": 2, "worker": "laptop-1-abc"}\n',
        b'{"spoolq": "forward", "version": 1}\n',
        b'{"spoolq": "forward", "version": 1, "worker": "../../x"}\n',
        b'{"spoolq": "forward", "version": 1, "worker": ["a"]}\n',
        GREETING + b'{"end": 1}\n',
        GREETING + b'{"end": true}\n',
        GREETING + b"{}\n",
        GREETING + b"[" * 5000 + b"\n{" + b"\n",
        GREETING + b"x" * (9 * 1024 * 1024),
        GREETING + line("a") * 1001 + b'{"end": 1001}\n',
    ],
    ids=range(13),
)
def test_who_does_not_speak_the_protocol_is_told_so_and_changes_nothing(spool, talk):
    said, error = said_to(spool, talk)
    assert isinstance(error, BadInput)
    assert "error" in said[-1] and said[-1]["later"] is False
    assert entries(spool, "pending") == []
    assert set(spool.dir("tmp").list()) <= {".ids"}


def test_what_a_shell_says_first_is_no_greeting_of_a_forwarder(spool):
    assert isinstance(said_to(spool, b"hello\n", GREETING)[1], BadInput)


def test_that_there_is_no_spool_is_said_to_who_sends(tmp_path):
    sink = io.BytesIO()
    with pytest.raises(NoSpool):
        converse(io.BytesIO(GREETING), sink, lambda: Spool(str(tmp_path / "none")).dir)
    said = json.loads(sink.getvalue())
    assert "there is no spool" in said["error"] and "hint" in said


def test_a_full_disk_means_later_and_leaves_nothing(spool, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("spoolq.fsio.write_all", full)
        (answer,) = Receiver(spool).take([line("a")])
    assert answer.kind == "later" and "No space left" in answer.reason
    assert entries(spool, "pending") == []
    assert kinds(Receiver(spool).take([line("a")])) == ["taken"]


def test_what_a_killed_receiver_was_writing_is_in_nobodys_way(spool):
    given.write(spool, "tmp", "20261124T020646123456Z.p5.a0.a.json", '{"comm')
    assert kinds(Receiver(spool).take([line("a")])) == ["taken"]
    assert spool.dir("tmp").list() == [".ids"]


def test_a_disk_that_does_not_confirm_means_unknown(spool, monkeypatch):
    def unconfirmed(files, durability):
        raise OutcomeUnknown("the disk did not confirm it", ["a"])

    with monkeypatch.context() as patched:
        patched.setattr(spool, "publish", unconfirmed)
        assert kinds(Receiver(spool).take([line("a")])) == ["unknown"]


def test_who_cannot_look_says_that_it_is_unknown(spool, monkeypatch):
    """It may be there: "later" would let it wait on the other side."""
    Receiver(spool).take([line("a")])

    def refused(wanted):
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patched:
        patched.setattr(spool, "locate", refused)
        assert kinds(Receiver(spool).take([line("a"), b"bad\n"])) == ["unknown", "refused"]


def test_what_is_there_already_is_synced_before_it_is_said(spool, monkeypatch):
    """Who was killed after the publishing may not have come to the sync."""
    Receiver(spool).take([line("a")])
    synced = []
    pending = spool.dir("pending")
    with monkeypatch.context() as patched:
        patched.setattr(pending, "sync_moves", lambda: synced.append("pending"))
        assert kinds(Receiver(spool).take([line("a")])) == ["there"]
    assert synced == ["pending"]

    def refused():
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patched:
        patched.setattr(pending, "sync_moves", refused)
        assert kinds(Receiver(spool).take([line("a")])) == ["unknown"]


def test_the_settings_of_the_target_hold_there(spool):
    given_only = line("a", max_retries=1)
    Receiver(spool).take([line("b"), given_only])
    fields = [json.loads(given.content(spool, "pending", n)) for n in entries(spool, "pending")]
    assert [job.get("max_retries") for job in fields] == [1, None]


def test_a_job_line_survives_whatever_text_is_in_it():
    name = Name(instants.to_stamp(instants.now()), 5, 0, "j1")
    text = "a\nb\u2028c\0d \x1b[31m \\n"
    data = json.dumps({"command": "x", "name": "n", "note": text}, indent=2).encode("utf-8")
    found, job = wire.heard_job(wire.job_line(name, data))
    assert found == name and job.fields["note"] == text


def test_noise_before_the_greeting_is_skipped_within_bounds():
    greeting = wire.greeting("receive", spool="/s")
    noise = b"Welcome!\nLast login: never\n"
    assert wire.heard_greeting(io.BytesIO(noise + greeting), "receive", noise=True)
    with pytest.raises(wire.Garbled):
        wire.heard_greeting(io.BytesIO(b"x\n" * 50_000 + greeting), "receive", noise=True)
    with pytest.raises(EOFError, match="Welcome"):
        wire.heard_greeting(io.BytesIO(noise), "receive", noise=True)


@pytest.mark.parametrize(
    "text", [b"{}\n", b'{"answer": "maybe"}\n', b"taken\n", b'{"answer": 1}\n']
)
def test_what_is_no_answer_is_none(text):
    with pytest.raises(wire.Garbled):
        wire.heard_answer(io.BytesIO(text))


def test_an_answer_is_heard_as_it_was_said():
    answer = Answer("refused", "because\n\x1b[2J of ü")
    assert wire.heard_answer(io.BytesIO(wire.answer_line(answer))) == answer


TALK = st.lists(
    st.sampled_from(
        [GREETING, line("a"), line("b"), line("a", command="other"), wire.end_line(1)]
        + [wire.end_line(2), wire.end_line(0), b"{", b"}\n", b"\n", b"\0", b"[]\n", b"x {}\n"]
    )
    | st.binary(max_size=40),
    max_size=12,
)


@given_(TALK)
@settings(max_examples=80)
def test_whatever_is_said_to_it_only_whole_batches_of_jobs_come_in(talk):
    with tempfile.TemporaryDirectory() as top:
        spool = SpoolDir.create(os.path.join(top, "spool"))
        said, error = said_to(spool, *talk)
        assert error is None or isinstance(error, BadInput)
        taken = sum(answer.get("answer") == "taken" for answer in said)
        assert len(entries(spool, "pending")) == taken
        assert set(spool.dir("tmp").list()) <= {".ids"}
        spool.close()
