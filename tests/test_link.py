"""A pipe to a target: whatever is at its other end, it ends, and says what is known."""

import sys
import threading
import time

import pytest

from spoolq import targets
from spoolq.errors import BadInput, Unreachable
from spoolq.link import Link
from spoolq.names import Name
from spoolq.spool import SpoolDir
from spoolq.targets import Target
from spoolq.wire import greeting, job_line
from tests.conftest import environment, wait_until

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="no POSIX shell there")
HOST = Target("host:spool", "spool", "host")
HELLO = "read x; echo '" + greeting("receive", spool="/s").decode("ascii").strip() + "'; "
JOB = job_line(Name("20261124T020646123456Z", 5, 0, "j1"), b'{"command": "true"}')


def link_to(script, patience=20.0):
    return Link(HOST, ["sh", "-c", script], "web1-1-abc", patience=patience)


def test_a_batch_is_answered_by_a_real_receiver(tmp_path):
    spool = SpoolDir.create(str(tmp_path / "spool"))
    target = Target(spool.path, spool.path)
    words = targets.command(target)
    link = Link(target, words, "web1-1-abc", patience=60.0, environment=environment())
    assert [answer.kind for answer in link.exchange([JOB])] == ["taken"]
    assert link.exchange([]) == []
    assert [answer.kind for answer in link.exchange([JOB])] == ["there"]
    link.close()
    assert link._process.returncode == 0
    spool.close()


def test_who_never_answers_is_given_up_with_all_that_it_has_started():
    began = time.monotonic()
    with pytest.raises(Unreachable, match="has not answered for 0.5 seconds"):
        link_to("sleep 1000 | sleep 1000", patience=0.5)
    assert time.monotonic() - began < 30


def test_who_stops_answering_is_given_up():
    link = link_to(HELLO + "cat >/dev/null", patience=1.0)
    with pytest.raises(Unreachable, match="has not answered"):
        link.exchange([JOB])


def test_a_large_batch_that_nobody_reads_is_given_up():
    link = link_to(HELLO + "sleep 1000", patience=1.0)
    with pytest.raises(Unreachable, match="has not answered"):
        link.exchange([JOB[:-1] + b" " * 1_000_000 + b"\n"])


def test_another_thread_can_end_it():
    link = link_to(HELLO + "cat >/dev/null")
    failed = []

    def exchange():
        try:
            link.exchange([JOB])
        except Unreachable as error:
            failed.append(str(error))

    thread = threading.Thread(target=exchange)
    thread.start()
    link.kill()
    thread.join(20)
    assert not thread.is_alive() and "is lost" in failed[0]


def test_of_what_it_complains_the_last_is_told_and_made_harmless():
    script = "for n in 1 2 3; do echo line $n >&2; done; printf '\\033[2Jbye\\n' >&2; exit 255"
    with pytest.raises(Unreachable) as found:
        link_to(script)
    assert str(found.value) == (
        "the connection to host:spool is lost: line 1 / line 2 / line 3 / \\x1b[2Jbye"
    )
    assert found.value.hint == "does this work?  ssh -o BatchMode=yes host true"


def test_complaints_without_end_fill_no_memory():
    link = link_to(HELLO + "yes complaint >&2 & cat >/dev/null; kill $!", patience=20.0)
    wait_until(lambda: len(link._said) == 20, "twenty lines")
    link.kill()
    link.close()
    assert len(link._said) == 20


@pytest.mark.parametrize("answers", ["{}", '{"answer": "taken"}{"answer": "taken"}', "yes", "{"])
def test_what_is_no_answer_ends_it_and_nothing_is_known(answers):
    link = link_to(HELLO + f"while read x; do echo '{answers}'; done")
    with pytest.raises(Unreachable):
        link.exchange([JOB])


def test_a_refusal_in_words_is_passed_on_though_the_batch_could_not_be_sent():
    error = '{"error": "the disk is gone", "later": false, "hint": "look at it"}'
    link = link_to(HELLO + f"read x; echo '{error}'")
    with pytest.raises(BadInput, match="host:spool: the disk is gone") as found:
        link.exchange([JOB] * 5000)
    assert found.value.hint == "look at it"


def test_a_program_that_is_not_there_is_said():
    with pytest.raises(BadInput, match="/no/such cannot be started"):
        Link(HOST, ["/no/such"], "web1-1-abc", patience=1.0)
