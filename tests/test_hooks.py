"""What the programs in hooks/ are told, and that nothing of them holds a worker up."""

import json
import logging
import os
import signal
import stat
import time
from pathlib import Path

import pytest

from spoolq import config, hooks, lease, names, platform
from spoolq.chores import Beside
from spoolq.config import Settings
from spoolq.errors import UnsafeSpool
from spoolq.job import Job
from spoolq.spool import Record, SpoolDir
from tests.conftest import entries, wait_until

pytestmark = pytest.mark.skipif(platform.WINDOWS, reason="the hooks here are scripts of /bin/sh")

NAME = names.parse("20261124T020646123456Z.p5.a1.a.json")


def write_hook(spool, hook, script, mode=0o700):
    """Put a script into hooks/ as its owner does: whole and executable when it has its name."""
    directory = Path(spool.path, "hooks")
    directory.mkdir(mode=0o700, exist_ok=True)
    new = Path(spool.path, f"new-{hook}")
    new.write_text(f"#!/bin/sh\n{script}\n")
    new.chmod(mode)
    new.replace(directory / hook)
    return directory / hook


def record(state="dead", data=b'{"command": "true"}', name=NAME):
    return Record(name._replace(worker="h-1-a", slot="0"), data, state, name.stamp, 1)


def work(spool, *commands, run_cli):
    """Enqueue these commands, each with no retry, and let a worker do them."""
    for command in commands:
        run_cli("enqueue", "--max-retries", "0", command)
    return run_cli("worker", "start", "--drain")


@pytest.fixture
def told(tmp_path):
    """Read what hooks have written, line by line."""
    place = tmp_path / "told"
    place.touch()

    def read():
        return place.read_text().splitlines()

    read.path = place
    return read


@pytest.fixture
def made(spool, caplog):
    """Make the chore as a worker does, and end it."""
    caplog.set_level(logging.INFO, "spoolq")
    chores = []
    own = lease.Lease.start(spool, {"count": 1})

    def make(settings=Settings()):  # noqa: B008 - it cannot change
        beside = Beside(spool, own, None, lambda: NAME.at, time.monotonic)
        chore = hooks.Hooks(beside)
        chores.append(chore)
        chore.look(settings)
        return chore

    yield make
    for chore in chores:
        chore.close()
    own.leave()


# --- which hook, and what it is told --------------------------------------------------------------


def test_each_state_has_its_hook(spool, run_cli, told):
    for hook in hooks.HOOKS:
        write_hook(spool, hook, f"echo {hook} $SPOOLQ_STATE $SPOOLQ_JOB_ID >> {told.path}")
    run_cli("enqueue", "--id", "good", "true")
    run_cli("enqueue", "--id", "bad", '{"command": "exit 3", "max_retries": 1, "backoff_base": 0}')
    done = run_cli("worker", "start", "--drain")
    *of_jobs, last = told()
    assert sorted(of_jobs) == [
        "on-completed completed good",
        "on-dead dead bad",
        "on-failed failed bad",
    ]
    assert last == "on-drained"
    assert "hooks" not in done.stderr


def test_a_hook_reads_what_show_prints(spool, run_cli, told):
    write_hook(spool, "on-dead", f"cat > {told.path}")
    run_cli("enqueue", "--id", "bad", "--max-retries", "0", "--tag", "t", "echo no; exit 3")
    run_cli("worker", "start", "--drain")
    read, shown = json.loads("\n".join(told())), json.loads(run_cli("show", "bad", "--json").stdout)
    assert abs(_seconds(read.pop("updated_at")) - _seconds(shown.pop("updated_at"))) < 5
    assert read == shown
    assert (read["state"], read["exit_code"], read["history"][0]["output"]) == ("dead", 3, "no\n")


def _seconds(text):
    from spoolq import instants

    return instants.from_rfc3339(text).timestamp()


def test_a_hook_runs_in_the_spool_with_its_name_in_the_environment(spool, run_cli, told):
    script = f"echo $PWD $SPOOLQ_SPOOL $SPOOLQ_ATTEMPT ${{SPOOLQ_CLAIM-none}} > {told.path}"
    write_hook(spool, "on-completed", script)
    run_cli("enqueue", "true")
    env = {"SPOOLQ_CLAIM": "of a job that this worker runs in"}
    run_cli("worker", "start", "--drain", env=env)
    assert told() == [f"{os.path.realpath(spool.path)} {spool.path} 1 none"]


def test_a_hook_that_comes_later_is_run_and_one_that_goes_is_not(
    spool, run_cli, told, start_worker
):
    start_worker()
    run_cli("run", "true")
    hook = write_hook(spool, "on-completed", f"echo $SPOOLQ_JOB_ID >> {told.path}")

    def is_told():
        run_cli("run", "true")
        return told()

    wait_until(is_told)
    hook.unlink()
    hook.parent.rmdir()

    def is_quiet():
        before = len(told())
        run_cli("run", "true")
        return len(told()) == before

    wait_until(is_quiet)


def test_on_drained_tells_the_counts_once_all_is_done(spool, run_cli, told, start_worker):
    write_hook(spool, "on-drained", f"cat >> {told.path}")
    start_worker("--count", "2")
    run_cli("enqueue", "--in", "1h", "true")
    for _ in range(3):
        run_cli("enqueue", "true")
    wait_until(told)
    run_cli("worker", "stop")
    assert json.loads("\n".join(told())) == {
        "pending": 1,
        "processing": 0,
        "failed": 0,
        "completed": 3,
        "dead": 0,
        "ignored": 0,
        "spool": spool.path,
    }


@pytest.mark.parametrize(
    "state, filename, drained",
    [
        ("pending", "20261124T020646123456Z.p5.a0.b.json", False),
        ("pending", "20261124T020646123457Z.p5.a0.b.json", True),
        ("pending", "a-drop.json", False),
        ("pending", ".bell-x", True),
        ("failed", "20270101T000000000000Z.p5.a1.b.json", False),
        ("failed", "99991231T000000000000Z.p5.a1.b.json", True),
        ("processing", "20261124T020646123456Z.p5.a1.b@h-1-a.0.json", False),
        ("processing", "20261124T020646123456Z.p5.a1.b@h-1-a.to0123abcd_0.json", True),
        ("completed", "20261124T020646123456Z.p5.a1.b.json", True),
    ],
)
def test_drained_is_what_a_drain_takes_for_done(spool, state, filename, drained):
    os.close(spool.dir(state).create(filename))
    assert hooks.is_drained(spool, NAME.at) is drained


def test_a_worker_that_did_nothing_tells_of_no_drain(spool, run_cli, told):
    write_hook(spool, "on-drained", f"echo >> {told.path}")
    run_cli("worker", "start", "--drain")
    assert told() == []


def test_a_worker_that_is_stopped_with_work_left_tells_of_no_drain(
    spool, run_cli, told, start_worker
):
    write_hook(spool, "on-drained", f"echo >> {told.path}")
    run_cli("enqueue", "true")
    run_cli("enqueue", "sleep 60")
    worker = start_worker()
    wait_until(lambda: entries(spool, "completed") and entries(spool, "processing"))
    run_cli("worker", "stop", "--now")
    assert (worker.wait(), told()) == (0, [])


# --- what they cannot do --------------------------------------------------------------------------


def test_a_hook_that_hangs_holds_up_no_job(spool, run_cli, start_worker, tmp_path):
    write_hook(spool, "on-completed", f"echo $$ >> {tmp_path}/begun; exec sleep 60")
    run_cli("config", "set", "hook_timeout", "60")
    worker = start_worker()
    for _ in range(2 * hooks.AT_A_TIME):
        run_cli("enqueue", "true")
    wait_until(lambda: len(entries(spool, "completed")) == 2 * hooks.AT_A_TIME)
    begun = wait_until(lambda: (tmp_path / "begun").exists() and (tmp_path / "begun").read_text())
    assert len(begun.split()) <= hooks.AT_A_TIME
    worker.kill()
    for pid in wait_until(lambda: (tmp_path / "begun").read_text()).split():
        os.kill(int(pid), signal.SIGKILL)


def test_a_hook_is_ended_when_its_time_is_over(spool, run_cli, tmp_path):
    script = f"trap '' TERM; sleep 60 & echo $! > {tmp_path}/child; echo at work; wait; sleep 60"
    write_hook(spool, "on-completed", script)
    run_cli("config", "set", "hook_timeout", "0.5")
    run_cli("config", "set", "grace", "0.2")
    started = time.monotonic()
    done = work(spool, "true", run_cli=run_cli)
    assert "hooks/on-completed" in done.stderr
    assert "ended, since it took too long: at work" in done.stderr
    assert time.monotonic() - started < 30
    pid = int((tmp_path / "child").read_text())
    wait_until(lambda: not _lives(pid), "the end of what the hook has started")


def _lives(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


def test_a_hook_that_fails_is_logged_with_what_it_printed(spool, run_cli):
    write_hook(spool, "on-completed", "printf 'no such \\033[31mroute\\n' >&2; exit 7")
    done = work(spool, "true", run_cli=run_cli)
    assert "exit 7: no such \\x1b[31mroute" in done.stderr
    assert len(entries(spool, "completed")) == 1


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"\0\0\0\0", "Exec format error"),
        (b"echo no interpreter\n", "Exec format error"),
        (b"#!/no/such/shell\n", "No such file or directory"),
    ],
)
def test_a_hook_that_is_no_program_is_logged_with_what_it_lacks(spool, run_cli, content, said):
    write_hook(spool, "on-completed", "").write_bytes(content)
    done = work(spool, "true", run_cli=run_cli)
    assert f"hooks/on-completed cannot be run: {said}" in done.stderr
    assert "its first line has to name a program, as #!/bin/sh" in done.stderr


def test_a_hook_that_reads_nothing_is_no_failure(spool, run_cli):
    write_hook(spool, "on-completed", "exit 0")
    big = json.dumps({"command": "true", "note": "x" * 500_000})
    run_cli("enqueue", "-", stdin=big + "\n")
    assert "hooks" not in run_cli("worker", "start", "--drain").stderr


def test_a_hook_inherits_no_lock_and_no_claim(spool, run_cli, told):
    script = f"ls -l /proc/self/fd | grep -c {spool.path}; env | grep -c ^SPOOLQ_CLAIM"
    write_hook(spool, "on-completed", f"({script}) > {told.path}")
    work(spool, "sleep 1 & true", "true", run_cli=run_cli)
    assert told() == ["0", "0"]


def test_a_flood_is_bounded_and_told_of(spool, made, caplog, tmp_path, monkeypatch):
    monkeypatch.setattr(hooks, "MOST_WAITING", 20)
    write_hook(spool, "on-dead", f"cat {tmp_path}/gate")
    os.mkfifo(tmp_path / "gate")
    chore = made(Settings(hook_timeout=1, grace=0.1))
    for _ in range(100):
        chore.moved(record(), NAME, Settings())
    assert chore._waiting == 20
    chore.look(Settings(hook_timeout=1, grace=0.1))
    chore.close()
    told = [line for line in caplog.messages if "left out" in line]
    numbers = [int(line.split(": ")[1].split()[0]) for line in told]
    ended = sum("too long" in line for line in caplog.messages)
    assert (numbers[0], numbers[1] + ended) == (80, 20)
    assert hooks.AT_A_TIME <= ended < 3 * hooks.AT_A_TIME
    assert (chore._waiting, chore._bytes) == (0, 0)


def test_large_jobs_are_bounded_by_their_bytes(spool, made, monkeypatch, tmp_path):
    monkeypatch.setattr(hooks, "MOST_BYTES", 1000)
    write_hook(spool, "on-dead", f"cat {tmp_path}/gate")
    os.mkfifo(tmp_path / "gate")
    chore = made(Settings(hook_timeout=0.2, grace=0.1))
    data = json.dumps({"command": "x" * 300}).encode()
    for _ in range(10):
        chore.moved(record(data=data), NAME, Settings())
    assert chore._waiting == 3


def test_what_waits_is_told_before_the_worker_leaves(spool, run_cli, told):
    write_hook(spool, "on-completed", f"sleep 0.05; echo $SPOOLQ_JOB_ID >> {told.path}")
    done = work(spool, *["true"] * 12, run_cli=run_cli)
    assert len(set(told())) == 12
    assert "left out" not in done.stderr


def test_a_hook_at_the_end_of_a_worker_ignores_no_signal(spool, run_cli, told):
    write_hook(spool, "on-drained", f"kill -TERM $$; echo survived >> {told.path}")
    done = work(spool, "true", run_cli=run_cli)
    assert "hooks/on-drained (all is done): signal 15" in done.stderr
    assert told() == []


def test_a_signal_while_hooks_run_at_the_end_ends_none_of_them(
    spool, run_cli, told, start_worker, tmp_path
):
    script = f"touch {tmp_path}/begun; cat {tmp_path}/gate; echo told >> {told.path}"
    write_hook(spool, "on-completed", script)
    os.mkfifo(tmp_path / "gate")
    run_cli("enqueue", "true")
    worker = start_worker("--drain")
    wait_until(lambda: (tmp_path / "begun").exists() and entries(spool, "completed"))
    worker.terminate()
    (tmp_path / "gate").write_text("")
    assert (worker.wait(60), told()) == (0, ["told"])


def test_without_hooks_nothing_is_imported_and_nothing_asked(spool, run_cli):
    code = "import sys; from spoolq.cli import beside; assert 'spoolq.hooks' not in sys.modules"
    import subprocess
    import sys

    from tests.conftest import environment

    subprocess.run([sys.executable, "-c", code], check=True, env=environment(), timeout=60)


def test_a_state_without_a_hook_costs_no_look_at_the_disk(spool, made, monkeypatch):
    write_hook(spool, "on-dead", "exit 0")
    chore = made()
    looked = []
    monkeypatch.setattr(os, "stat", lambda *a, **k: looked.append(a))
    monkeypatch.setattr(chore._pool, "submit", lambda *a: looked.append(a))
    chore.moved(record("completed"), NAME, Settings())
    monkeypatch.undo()
    assert looked == []


# --- who may write them ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "spoil, word",
    [
        (lambda hook: hook.chmod(0o777), "can be written by everybody"),
        (lambda hook: hook.parent.chmod(0o777), "can be written by everybody"),
        (lambda hook: hook.chmod(0o600), "is not executable"),
        (lambda hook: (hook.unlink(), hook.mkdir()), "is no file"),
    ],
)
def test_a_hook_that_is_not_to_be_trusted_is_refused_once(spool, run_cli, told, spoil, word):
    spoil(write_hook(spool, "on-completed", f"echo >> {told.path}"))
    done = work(spool, "true", "true", "true", run_cli=run_cli)
    assert told() == []
    (line,) = [line for line in done.stderr.splitlines() if "hooks/on-completed is not run" in line]
    assert word in line


def test_a_link_is_followed_and_its_target_judged(spool, tmp_path):
    (tmp_path / "bin").mkdir()
    target = tmp_path / "bin" / "notify"
    target.write_text("#!/bin/sh\n")
    target.chmod(0o755)
    os.mkdir(os.path.join(spool.path, "hooks"), 0o700)
    os.symlink(target, os.path.join(spool.path, "hooks", "on-dead"))

    def judged():
        return hooks.program(os.path.realpath(spool.path), "on-dead", None, os.geteuid())

    assert judged() == os.path.realpath(target)
    target.chmod(0o775 | stat.S_IWOTH)
    with pytest.raises(UnsafeSpool, match="bin/notify can be written"):
        judged()
    target.chmod(0o755)
    (tmp_path / "bin").chmod(0o777)
    with pytest.raises(UnsafeSpool, match="bin can be written"):
        judged()


def test_one_program_may_serve_several_hooks_by_links(spool, run_cli, told):
    hook = write_hook(spool, "on-completed", f"echo $SPOOLQ_HOOK >> {told.path}")
    os.symlink(hook.name, hook.parent / "on-drained")
    done = work(spool, "true", run_cli=run_cli)
    assert told() == ["on-completed", "on-drained"]
    assert "hooks/" not in done.stderr


def test_a_hook_behind_a_link_that_leads_elsewhere_now_is_not_run(
    spool, clock, caplog, tmp_path, told
):
    """The spool is named by a link, and who may change that link has a spool of his own."""
    other = SpoolDir.create(str(tmp_path / "other"))
    write_hook(spool, "on-dead", f"echo ours >> {told.path}")
    write_hook(other, "on-dead", f"echo theirs >> {told.path}")
    os.symlink(spool.path, tmp_path / "link")
    named = SpoolDir.open(str(tmp_path / "link"))
    own = lease.Lease.start(named, {"count": 1})
    (tmp_path / "link").unlink()
    os.symlink(other.path, tmp_path / "link")
    chore = hooks.Hooks(Beside(named, own, None, lambda: NAME.at, time.monotonic))
    chore.look(Settings())
    chore.moved(record(), NAME, Settings())
    chore.close()
    own.leave()
    named.close()
    other.close()
    assert told() == []
    assert "is another directory now" in caplog.text


def test_what_a_link_on_the_way_leads_to_later_is_not_what_runs(
    spool, made, tmp_path, told, monkeypatch
):
    """Between the look and the start a link of somebody else may lead elsewhere."""
    for name in ("good", "bad"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "notify").write_text(f"#!/bin/sh\necho {name} >> {told.path}\n")
        (tmp_path / name / "notify").chmod(0o755)
    os.symlink(tmp_path / "good", tmp_path / "way")
    os.mkdir(os.path.join(spool.path, "hooks"), 0o700)
    os.symlink(tmp_path / "way" / "notify", os.path.join(spool.path, "hooks", "on-dead"))
    chore = made()
    real = hooks.child.run

    def run(*args, **how):
        (tmp_path / "way").unlink()
        os.symlink(tmp_path / "bad", tmp_path / "way")
        return real(*args, **how)

    monkeypatch.setattr(hooks.child, "run", run)
    chore.moved(record(), NAME, Settings())
    chore.close()
    assert told() == ["good"]


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="root can give away")
def test_the_hook_of_another_user_is_refused(spool):
    hook = write_hook(spool, "on-dead", "exit 0")
    os.chown(hook, 12345, 12345)
    with pytest.raises(UnsafeSpool, match="belongs to user 12345"):
        hooks.program(os.path.realpath(spool.path), "on-dead", None, 0)


def test_in_a_spool_of_a_group_its_members_may_write_hooks(tmp_path):
    import grp

    group = grp.getgrgid(os.getegid()).gr_name
    spool = SpoolDir.create(str(tmp_path / "shared"), group)
    hook = write_hook(spool, "on-dead", "exit 0")
    hook.chmod(0o770)
    hook.parent.chmod(0o2770)
    assert hooks.program(os.path.realpath(spool.path), "on-dead", group, os.geteuid())
    spool.close()


def test_the_settings_know_how_long_a_hook_may_take():
    assert config.read(b'{"hook_timeout": 5}')[0].hook_timeout == 5
    assert Job.from_bytes(record().data).command == "true"
