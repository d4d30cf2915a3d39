"""`forward` and `receive` as people run them: real processes, over a stand-in for ssh and sshd."""

import json
import os
import signal
import sys

import pytest

from spoolq.spool import SpoolDir
from tests import given
from tests.conftest import entries, wait_until
from tests.forwarders import ids
from tests.ssh import PROGRAM, sshd, stand_in, why_no_sshd

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="no POSIX shell and signals there")


@pytest.fixture
def other(tmp_path):
    """The spool that jobs are forwarded to."""
    directory = SpoolDir.create(str(tmp_path / "other"))
    yield directory
    directory.close()


@pytest.fixture
def over(tmp_path, run_cli):
    """Forward over a stand-in for ssh; `before` is what happens on the other side first."""

    def forward(*words, before="", check=False, **more):
        ssh = stand_in(tmp_path, before)
        how = ("--ssh", ssh, "--program", PROGRAM)
        return run_cli("forward", *how, *words, check=check, **more)

    return forward


def enqueue(run_cli, *commands, options=()):
    lines = "".join(f"{command}\n" for command in commands or ("echo 1", "echo 2", "echo 3"))
    return run_cli("enqueue", *options, "-", stdin=lines).stdout.split()


def opened(path):
    return SpoolDir.open(str(path))


# --- it goes --------------------------------------------------------------------------------------


def test_jobs_go_into_a_spool_of_this_machine_and_run_there(run_cli, spool, other):
    sent = enqueue(run_cli)
    done = run_cli("forward", other.path)
    assert (done.stdout, done.stderr) == ("", f"3 jobs forwarded to {other.path}\n")
    run_cli("worker", "start", "--drain", spool_path=other.path)
    assert ids(other, "completed") == ids(spool, "completed") == sorted(sent)
    run_cli("wait", sent[0], "--timeout", "5")
    assert run_cli("forward", other.path).stderr == f"nothing to forward to {other.path}\n"


def test_jobs_go_over_ssh_into_a_spool_with_any_name(run_cli, spool, over, tmp_path):
    sent = enqueue(run_cli)
    done = over("--create", "me@host:a b/it's; touch $(x)")
    assert done.returncode == 0, done.stderr
    assert ids(opened(tmp_path / "home" / "a b" / "it's; touch $(x)"), "pending") == sorted(sent)
    called = (tmp_path / "ssh.log").read_text()
    assert "BatchMode=yes" in called and " -- me@host " in called
    assert ids(spool, "completed") == sorted(sent)


def test_the_ssh_of_the_environment_is_used(run_cli, other, tmp_path):
    enqueue(run_cli)
    ssh = stand_in(tmp_path)
    words = ("forward", "--program", PROGRAM, f"ssh://me@host:77{other.path}")
    done = run_cli(*words, env={"SPOOLQ_SSH": f"{ssh} -v"})
    assert "3 jobs forwarded" in done.stderr
    called = (tmp_path / "ssh.log").read_text()
    assert called.startswith("-v -T ") and "-p 77 -- me@host " in called


def test_what_the_shell_over_there_prints_first_is_skipped(run_cli, over, other):
    enqueue(run_cli)
    done = over(f"host:{other.path}", before="echo Welcome; echo to the machine")
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(why_no_sshd() is not None, reason=str(why_no_sshd()))
def test_jobs_go_over_a_real_ssh_and_a_forced_command_lets_a_key_do_no_more(
    run_cli, spool, other, tmp_path
):
    sent = enqueue(run_cli)
    with sshd(tmp_path) as ssh:
        how = ("forward", "--ssh", ssh, "--program", PROGRAM)
        done = run_cli(*how, f"127.0.0.1:{other.path}", check=False)
        assert done.returncode == 0, done.stderr
        assert ids(other, "pending") == sorted(sent)
        more = enqueue(run_cli)
        forced = f'command="{PROGRAM} --spool {other.path} receive",restrict '
        (tmp_path / "authorized").write_text(forced + (tmp_path / "user.pub").read_text())
        done = run_cli(*how[:3], "127.0.0.1:/somewhere/else", check=False)
        assert done.returncode == 0, done.stderr
        assert ids(other, "pending") == sorted(sent + more)
        enqueue(run_cli, "echo 7")
        (tmp_path / "authorized").write_text("")
        done = run_cli(*how, f"127.0.0.1:{other.path}", check=False)
        assert done.returncode == 75
        assert "Permission denied" in done.stderr
    assert len(ids(spool, "pending")) == 1


def test_the_sum_is_one_json_document(run_cli, other):
    with_id = json.dumps({"command": "echo ours", "id": "mine"})
    run_cli("enqueue", '{"command": "echo theirs", "id": "mine"}', spool_path=other.path)
    enqueue(run_cli, with_id, "echo 2")
    done = run_cli("forward", "--json", other.path, check=False)
    assert done.returncode == 1
    assert json.loads(done.stdout) == {
        "targets": [
            {
                "target": other.path,
                "forwarded": 1,
                "there_already": 0,
                "refused": 1,
                "held": 0,
                "error": None,
            }
        ]
    }
    assert "its id is taken there" in run_cli("dlq", "list").stdout


def test_of_several_targets_each_gets_its_share_and_one_that_is_away_holds_up_no_other(
    run_cli, spool, other, over, tmp_path
):
    third = SpoolDir.create(str(tmp_path / "third"))
    sent = enqueue(run_cli, *(f"echo {n}" for n in range(60)))
    targets = [other.path, third.path, "away:spool"]
    done = over(*targets, before="echo no route >&2; exit 255")
    assert done.returncode == 75
    assert "away:spool is lost: no route" in done.stderr
    here, there, left = ids(other, "pending"), ids(third, "pending"), ids(spool, "pending")
    assert sorted(here + there + left) == sorted(sent)
    assert min(len(here), len(there), len(left)) > 5
    third.close()


def test_who_is_interrupted_before_all_has_gone_says_so_and_loses_nothing(
    run_cli, popen, spool, other, tmp_path
):
    sent = enqueue(run_cli, *(f"echo {n}" for n in range(700)))  # more than a batch
    gate = tmp_path / "gate"
    ssh = stand_in(tmp_path, f"until [ -e {gate} ]; do sleep 0.05; done")
    process = popen("forward", "--ssh", ssh, "--program", PROGRAM, f"host:{other.path}")
    wait_until(lambda: (tmp_path / "ssh.log").exists(), "the call of ssh")
    process.send_signal(signal.SIGTERM)
    said = process.stderr.readline()
    assert "settling what is on its way" in said
    gate.write_text("")
    assert process.wait(60) == 130
    there, here = ids(other, "pending"), ids(spool, "pending")
    assert len(there) == 500 and sorted(there + here) == sorted(sent)
    assert ids(spool, "completed") == there


# --- it does not go -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "before, code, says",
    [
        ("echo 'Host key verification failed.' >&2; exit 255", 75, "Host key verification failed"),
        ("echo 'sh: 1: spoolq: not found' >&2; exit 127", 75, "--program"),
        ("echo 'Error: there is no verb receive' >&2; exit 2", 75, "there is no verb receive"),
        ("exit 0", 75, "is lost: exit code 0"),
        ("kill -9 $$", 75, "is lost: exit code -9"),
        ("cat >/dev/null; exit 0", 75, "has not answered for 2 seconds"),
        ("exec yes hello", 75, "is no spoolq"),
        ("tr '\\0' x </dev/zero", 75, "is no spoolq"),
        ('echo \'{"spoolq": "receive", "version": 9}\'; exit', 1, "speaks version 9"),
        ("printf '\\033[2Jhello\\n' >&2; exit 1", 75, "\\x1b[2Jhello"),
    ],
)
def test_who_does_not_answer_as_he_should_is_told_of_and_nothing_has_moved(
    run_cli, spool, over, before, code, says
):
    enqueue(run_cli)
    waiting = given.everything(spool)
    done = over("--timeout", "2", "host:spool", before=before)
    assert done.returncode == code, done.stderr
    assert says in done.stderr
    assert "Traceback" not in done.stderr and "\x1b" not in done.stderr
    assert given.everything(spool) == waiting
    assert spool.dir("workers").list() == []


def test_that_there_is_no_spool_there_is_said_with_what_to_do(run_cli, spool, over, tmp_path):
    enqueue(run_cli)
    done = over("host:nowhere")
    assert done.returncode == 1
    assert "there is no spool at" in done.stderr and "--create" in done.stderr
    assert not (tmp_path / "home" / "nowhere").exists()


def test_an_ssh_that_is_not_there_is_said(run_cli):
    enqueue(run_cli)
    done = run_cli("forward", "--ssh", "/no/such/ssh", "host:", check=False)
    assert done.returncode == 1
    assert "/no/such/ssh cannot be started" in done.stderr


def test_the_spool_itself_is_refused_by_whatever_way(run_cli, spool, over, tmp_path):
    enqueue(run_cli)
    os.symlink(spool.path, tmp_path / "link")
    waiting = given.everything(spool)
    for done in (
        run_cli("forward", str(tmp_path / "link"), check=False),
        over(f"host:{spool.path}"),
    ):
        assert done.returncode == 1
        assert "is the spool that the jobs come from" in done.stderr
    assert given.everything(spool) == waiting


@pytest.mark.parametrize(
    "words, says",
    [
        ((), "where to?"),
        (("-oProxyCommand=x:y",), "there is no option"),
        (("--", "-oProxyCommand=x:y"), "names no host"),
        (("a", "./a"), "named twice"),
        (("a", "--by", "colour"), "id, name or tag:PREFIX"),
        (("a", "--timeout", "soon"), "--timeout"),
        (("h:", "--ssh", "'"), "--ssh"),
    ],
)
def test_a_command_line_that_is_wrong_is_refused(run_cli, words, says):
    done = run_cli("forward", *words, check=False)
    assert done.returncode == 2
    assert says.lower() in done.stderr.lower()


# --- it stays -------------------------------------------------------------------------------------


def start(popen, *words):
    return popen("forward", "--follow", *words)


def test_who_follows_forwards_what_comes_and_leaves_when_asked(run_cli, popen, spool, other):
    process = start(popen, other.path)
    sent = enqueue(run_cli)
    wait_until(lambda: ids(other, "pending") == sorted(sent), "the jobs over there")
    listed = run_cli("worker", "list").stdout
    assert f"forwards to {other.path}" in listed
    assert f"forwards to {other.path}" in run_cli("status").stdout
    more = enqueue(run_cli, "echo 4")
    wait_until(lambda: ids(other, "pending") == sorted(sent + more), "one more")
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 0
    assert spool.dir("workers").list() == []


def test_who_follows_is_stopped_as_a_worker_is(run_cli, popen, spool, other):
    process = start(popen, other.path)
    wait_until(lambda: spool.dir("workers").list(), "the forwarder")
    run_cli("worker", "stop")
    assert process.wait(20) == 0


def test_who_follows_waits_for_a_target_that_is_away_and_holds_no_job(
    run_cli, popen, spool, other, tmp_path
):
    away = tmp_path / "away"
    away.write_text("")
    ssh = stand_in(tmp_path, f"[ ! -e {away} ] || exit 255")
    sent = enqueue(run_cli)
    process = start(popen, "--ssh", ssh, "--program", PROGRAM, f"host:{other.path}")
    wait_until(lambda: "is lost" in run_cli("status").stderr, "the trouble in status")
    assert ids(spool, "pending") == sorted(sent)
    away.unlink()
    wait_until(lambda: ids(other, "pending") == sorted(sent), "the jobs over there")
    wait_until(lambda: "is lost" not in run_cli("status").stderr, "no trouble in status")
    process.send_signal(signal.SIGINT)
    assert process.wait(20) == 0


def test_a_second_signal_leaves_at_once_and_the_next_forwarder_settles_it(
    run_cli, popen, spool, other, tmp_path
):
    """The other side takes the batch in, and its answers never come."""
    sent = enqueue(run_cli)
    mute = tmp_path / "mute"
    mute.write_text("")
    ssh = stand_in(tmp_path, f'[ ! -e {mute} ] || exec sh -c "$1 | {{ head -n1; sleep 60; }}"')
    process = start(popen, "--ssh", ssh, "--program", PROGRAM, f"host:{other.path}")
    wait_until(lambda: ids(other, "pending") == sorted(sent), "the jobs over there")
    assert ids(spool, "processing") == sorted(sent)
    wait_until(lambda: process.send_signal(signal.SIGINT) or process.poll() is not None, "its end")
    said = process.communicate()[1]
    assert process.returncode == 75
    assert f"3 jobs may have arrived at host:{other.path}" in said
    assert f"spoolq forward host:{other.path}" in said
    assert ids(spool, "processing") == sorted(sent)
    run_cli("worker", "start", "--drain")
    assert ids(spool, "processing") == sorted(sent)
    status = run_cli("status").stderr
    assert f"3 jobs may have arrived; settle that:  spoolq forward host:{other.path}" in status
    told = run_cli("show", sent[0]).stdout
    assert "its forwarder is gone, and it may have arrived" in told
    found = run_cli("doctor", check=False).stdout
    assert "its forwarder" in found
    mute.unlink()
    done = run_cli("forward", "--ssh", ssh, "--program", PROGRAM, f"host:{other.path}")
    assert "3 jobs forwarded" in done.stderr and "3 of them there already" in done.stderr
    assert ids(spool, "completed") == ids(other, "pending") == sorted(sent)


def test_who_gives_up_is_told_how_many_wait_again(run_cli, popen, spool, other, tmp_path):
    sent = enqueue(run_cli)
    ssh = stand_in(tmp_path, 'exec sh -c "$1 | { head -n1; sleep 60; }"')
    process = start(popen, "--ssh", ssh, "--program", PROGRAM, f"host:{other.path}")
    wait_until(lambda: ids(other, "pending") == sorted(sent), "the jobs over there")
    process.kill()
    process.wait(20)
    done = run_cli("forward", "--give-up", f"host:{other.path}")
    assert done.stderr == f"3 jobs that may have arrived at host:{other.path} wait here again\n"
    assert len(entries(spool, "pending")) == 3
    assert "no job is held" in run_cli("forward", "--give-up", "host:x").stderr


def test_receive_wants_a_pipe(run_cli, tmp_path):
    import pty
    import subprocess

    from tests.conftest import environment

    leader, follower = pty.openpty()
    words = [sys.executable, "-m", "spoolq", "--spool", str(tmp_path), "receive"]
    done = subprocess.run(
        words, stdin=follower, capture_output=True, text=True, env=environment(), timeout=30
    )
    os.close(leader)
    os.close(follower)
    assert done.returncode == 2 and "by a pipe" in done.stderr
