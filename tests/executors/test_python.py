"""Calls in warm processes, real ones."""

import os
import select
import signal
import sys
import time
from pathlib import Path

import pytest

from spoolq import Spool, callables, instants, lease, names, platform
from spoolq.errors import BadInput
from spoolq.executors import Context, python
from spoolq.job import INTERRUPTED
from spoolq.tokens import Tokens
from tests.conftest import REPOSITORY, wait_until
from tests.executors.test_local import Bench
from tests.leftovers import is_alive

pytestmark = pytest.mark.skipif(not platform.LINUX, reason="the executor python needs Linux")

WARES = """
import atexit, os, signal, subprocess, sys, threading, time
from pathlib import Path

ZYGOTE = os.getpid()

def who(): print(os.getpid(), os.getppid(), ZYGOTE)
def say(*words): print(*words)
def mumble(): print("no line end", end="")
def variable(*names): print(*(os.environ.get(name) for name in names))
def place(): print(os.getcwd(), oct(os.umask(0o77)))
def litter():
    os.environ["LITTER"] = "1"
    del os.environ["SPOOLQ_JOB_ID"]
    os.chdir("/")
    os.umask(0)
def stay(path):
    Path(path).write_text(str(os.getpid()))
    time.sleep(1000)
def spawn(path):
    child = subprocess.Popen(["sleep", "1000"])
    Path(path).write_text(f"{os.getpid()} {child.pid}")
    time.sleep(1000)
def flood():
    while True: print("x" * 1000)
def descriptors():
    for entry in sorted(os.listdir("/proc/self/fd"), key=int):
        try: print(entry, os.readlink(f"/proc/self/fd/{entry}"))
        except OSError: pass

def leave_thread(path):
    def work():
        time.sleep(0.2)
        Path(path).write_text("done")
    threading.Thread(target=work).start()
    who()
def leave_daemon_thread():
    threading.Thread(target=time.sleep, args=(1000,), daemon=True).start()
    who()
def leave_process():
    subprocess.Popen(["sleep", "1000"])
    who()
def leave_daemon(path):
    subprocess.run(["sh", "-c", f"sleep 1000 >/dev/null 2>&1 & echo $! >{path}"])
    who()
def leave_dead_process():
    os.spawnlp(os.P_NOWAIT, "true", "true")
    os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOWAIT)
    who()
def leave_timer():
    signal.alarm(1000)
    who()
def leave_handler():
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    who()
def leave_stream():
    who()
    sys.stdout.close()
def leave_nothing_open():
    who()
    sys.stdout.flush()
    os.closerange(3, 1024)
def fork_and_return():
    pid = os.fork()
    if pid: os.waitpid(pid, 0)
    print("here", flush=True)
def leave_replaced():
    os.execvp("sh", ["sh", "-c", "echo replaced; exit 5"])
"""


class Shop(Bench):
    """An executor for calls of the module `wares`."""

    def __init__(self, spool, place, most=1, **options):
        self._place = place
        self._most = most
        self._options = {"preload": "wares", **options}
        (place / "wares.py").write_text(WARES)
        super().__init__(spool)

    def new_executor(self, spawn=None, **environment):
        path = os.pathsep.join([str(self._place), str(REPOSITORY)])
        variables = {**os.environ, "PYTHONPATH": path, **environment}
        context = Context(
            self.spool,
            self.lease.name,
            self._most,
            self.bell,
            variables,
            instants.now,
            time.monotonic,
        )
        return python.make(context, self._options)

    def run(self, target, *args, settings=None, **fields):
        target = target if ":" in target else f"wares:{target}"
        call = {"target": target, "args": [*args]}
        run = self.run_of({"command": callables.command(), "call": call, **fields}, settings)
        self.spool.dir("processing").write(str(run.claim), run.job.to_bytes(), sync=False)
        return run

    def start(self, target, *args, **fields):
        run = self.run(target, *args, **fields)
        self.submit(run)
        return run

    def end_of(self, target, *args, **fields):
        return self.await_end(self.start(target, *args, **fields))

    def told(self, target, *args, **fields):
        """Return what a call printed that went well."""
        ended = self.end_of(target, *args, **fields)
        assert ended.exit_code == 0, (ended, self.log(ended.run))
        return self.log(ended.run)

    def pid(self, target="who", *args):
        """Return in which process a call was made; its parent is the zygote."""
        own, parent, zygote = self.told(target, *args).split()
        assert parent == zygote, "it was not made in a warm process"
        return int(own)

    @property
    def zygote(self):
        return self.executor._nursery._process.pid

    def close(self):
        super().close()
        self.executor.close()


@pytest.fixture
def open_shop(spool, tmp_path):
    opened = []

    def open_shop(**options):
        opened.append(Shop(spool, tmp_path, **options))
        return opened[-1]

    yield open_shop
    for shop in opened:
        shop.close()


@pytest.fixture
def shop(open_shop):
    return open_shop()


def read_when_there(path):
    return wait_until(lambda: path.exists() and path.read_text(), "the file").split()


# --- what a call has ------------------------------------------------------------------------------


def test_calls_are_made_one_after_another_in_a_process_that_has_imported_the_code(shop):
    assert len({shop.pid() for _ in range(3)}) == 1


def test_a_command_runs_as_ever(shop):
    told = shop.told("say", command=["sh", "-c", "echo $0 $PPID", "command"]).split()
    assert told == ["command", str(os.getpid())]


def test_each_run_has_its_own_log(shop):
    assert shop.told("say", "one") == "one\n"
    assert shop.told("mumble") == "no line end"
    assert shop.told("say", "two") == "two\n"


def test_a_run_that_prints_nothing_leaves_no_log(shop):
    assert shop.log(shop.end_of("litter").run) is None


def test_a_call_holds_the_tokens_of_its_run_and_the_next_one_does_not(shop, spool):
    tokens = Tokens(spool).take((("gpu", 2),), {"gpu": 2})
    run = shop.run("descriptors")._replace(tokens=tokens)
    shop.submit(run)
    assert shop.await_end(run).exit_code == 0
    assert shop.log(run).count("/limits/gpu.") == 2
    told = shop.run("variable", "SPOOLQ_TOKENS")._replace(tokens=tokens)
    shop.submit(told)
    shop.await_end(told)
    assert shop.log(told) == "gpu.0 gpu.1\n"
    assert "/limits/gpu" not in shop.told("descriptors")
    assert shop.pid()


def test_each_run_has_its_own_variables(shop):
    run = shop.start("variable", "SPOOLQ_JOB_ID", "SPOOLQ_CLAIM", "MINE", env={"MINE": "a\nb=c"})
    shop.await_end(run)
    assert shop.log(run) == f"{run.claim.id} {run.claim} a\nb=c\n"
    assert shop.told("variable", "MINE", "SPOOLQ_SPOOL") == f"None {shop.spool.path}\n"


def test_what_a_call_changes_of_its_process_is_undone(shop):
    before = shop.pid()
    at_home = shop.told("place")
    shop.end_of("litter")
    run = shop.start("variable", "LITTER", "SPOOLQ_JOB_ID")
    shop.await_end(run)
    assert shop.log(run) == f"None {run.claim.id}\n"
    assert shop.told("place") == at_home
    assert shop.pid() == before


def test_a_call_has_its_log_its_slot_and_nothing_of_another_run(shop):
    shop.told("say", "one")
    run = shop.start("descriptors")
    shop.await_end(run)
    logs_of = [line for line in shop.log(run).splitlines() if line.endswith(".log")]
    assert [line.split()[0] for line in logs_of] == ["1", "2"]
    locks = [line for line in shop.log(run).splitlines() if line.endswith(".lock")]
    assert len(locks) == 1
    assert len([line for line in shop.log(run).splitlines() if "socket" in line]) == 1


# --- how it ends ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "args", "code", "number"),
    [
        ("os:_exit", [3], 3, None),
        ("os:abort", [], None, signal.SIGABRT),
        ("signal:raise_signal", [int(signal.SIGKILL)], None, signal.SIGKILL),
    ],
)
def test_a_crash_ends_its_own_run_and_no_other(open_shop, tmp_path, target, args, code, number):
    shop = open_shop(most=2)
    other = shop.start("stay", str(tmp_path / "other"))
    (pid,) = read_when_there(tmp_path / "other")
    ended = shop.end_of(target, *args)
    assert (ended.exit_code, ended.signal, ended.error) == (code, number, None)
    shop.pid()  # there is another in its place
    assert shop.running() == (other,)
    assert is_alive(int(pid))


def test_a_timeout_ends_a_call_and_what_it_started(shop, tmp_path):
    run = shop.start("spawn", str(tmp_path / "pids"), timeout=1)
    pids = read_when_there(tmp_path / "pids")
    ended = shop.await_end(run)
    assert (ended.signal, ended.error) == (signal.SIGTERM, "timed out after 1 s")
    assert not any(is_alive(int(pid)) for pid in pids)
    shop.pid()


def test_a_cancelled_call_ends(shop, tmp_path):
    run = shop.start("stay", str(tmp_path / "pid"))
    (pid,) = read_when_there(tmp_path / "pid")
    shop.executor.cancel(run.claim, "cancelled")
    assert shop.await_end(run).error == "cancelled"
    assert not is_alive(int(pid))
    assert shop.pid() != int(pid)


def test_a_call_that_prints_too_much_is_ended(shop):
    ended = shop.end_of("flood", settings={"max_log": 100_000})
    assert ended.error == "printed more than max_log, 100000 bytes"


def test_a_call_that_becomes_another_program_ends_as_that_does(shop):
    ended = shop.end_of("leave_replaced")
    assert ended.exit_code == 5
    assert shop.log(ended.run) == "replaced\n"


def test_a_process_that_a_call_forked_and_that_comes_back_makes_no_other_call(shop):
    assert shop.told("fork_and_return") == "here\nhere\n"
    assert shop.told("say", "alone") == "alone\n"


def test_the_lock_of_a_slot_is_held_as_long_as_its_run(shop, tmp_path):
    run = shop.start("stay", str(tmp_path / "pid"))
    (pid,) = read_when_there(tmp_path / "pid")
    os.close(run.slot)  # as if the worker had died
    lock = lease.slot_lock(run.claim.slot)
    assert lease.probe(shop.spool, shop.lease.name, lock) == "held"
    note = lease.read_slot(shop.spool, shop.lease.name, run.claim.slot, str(run.claim))
    assert note["pid"] == int(pid)
    os.kill(int(pid), signal.SIGKILL)
    wait_until(lambda: lease.probe(shop.spool, shop.lease.name, lock) == "free", "the lock")
    os.dup2(os.open(os.devnull, os.O_RDONLY), run.slot)
    shop.await_end(run)


def test_a_process_that_waits_for_a_run_holds_no_lock(shop):
    before = shop.pid()
    assert lease.probe(shop.spool, shop.lease.name, "0.lock") == "free"
    assert is_alive(before)
    assert shop.pid() == before


# --- which process --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "target",
    ["leave_daemon_thread", "leave_process", "leave_timer", "leave_handler"]
    + ["leave_stream", "leave_nothing_open"],
)
def test_a_process_that_is_not_as_it_was_makes_no_other_call(shop, target):
    left = shop.pid(target)
    assert shop.pid() != left
    wait_until(lambda: not is_alive(left), "the end of the process")


def test_a_daemon_that_a_call_has_left_does_not_end_with_a_later_one(shop, tmp_path):
    left = shop.pid("leave_daemon", str(tmp_path / "daemon"))
    daemon = int((tmp_path / "daemon").read_text())
    try:
        run = shop.start("stay", str(tmp_path / "pid"))
        assert read_when_there(tmp_path / "pid") != [str(left)]
        shop.executor.cancel(run.claim, "cancelled")
        shop.await_end(run)
        assert is_alive(daemon)
    finally:
        os.kill(daemon, signal.SIGKILL)


def test_a_process_whose_children_have_ended_goes_on(shop):
    assert shop.pid("leave_dead_process") == shop.pid()


def test_a_thread_that_a_call_has_left_is_waited_for_as_python_does(shop, tmp_path):
    left = shop.pid("leave_thread", str(tmp_path / "thread"))
    assert (tmp_path / "thread").read_text() == "done"
    assert shop.pid() != left


def test_a_process_is_replaced_after_so_many_runs(open_shop):
    shop = open_shop(runs="2")
    pids = [shop.pid() for _ in range(6)]
    assert pids[0::2] == pids[1::2]
    assert len(set(pids)) == 3


def test_a_process_that_is_killed_while_it_waits_costs_no_run(shop):
    waiting = shop.pid()
    os.kill(waiting, signal.SIGKILL)
    ends = [shop.end_of("who") for _ in range(3)]
    assert {ended.exit_code for ended in ends if ended.error is None} == {0}
    assert {ended.error for ended in ends} <= {None, INTERRUPTED}
    assert shop.pid() != waiting


def test_a_process_that_a_module_has_started_is_nobodys_run(open_shop, tmp_path):
    (tmp_path / "starting.py").write_text(
        "import subprocess\nchild = subprocess.Popen(['sleep', '1000'])\n"
        "def pid(): print(child.pid)\n"
    )
    shop = open_shop(preload="starting,wares")
    before, zygote = shop.pid(), shop.zygote
    started = int(shop.told("starting:pid"))
    os.kill(started, signal.SIGKILL)
    wait_until(lambda: not os.path.exists(f"/proc/{started}"), "that its end is seen")
    assert shop.pid("leave_daemon_thread") == before  # the next one is forked
    shop.pid()
    assert shop.zygote == zygote


def test_a_run_that_was_given_to_a_process_that_had_died_never_began(shop):
    waiting = shop.pid()
    os.kill(shop.zygote, signal.SIGSTOP)
    try:
        os.kill(waiting, signal.SIGKILL)
        wait_until(lambda: not is_alive(waiting), "its end")
        run = shop.start("say", "here")
    finally:
        os.kill(shop.zygote, signal.SIGCONT)
    ended = shop.await_end(run)
    assert ended.error == INTERRUPTED  # it waits again, and has used no attempt
    assert shop.log(run) is None
    assert shop.pid() != waiting


def test_a_run_is_not_given_to_a_process_whose_end_is_known(shop, monkeypatch):
    waiting = shop.pid()
    (warm,) = shop.executor._nursery._idle
    os.kill(waiting, signal.SIGKILL)
    wait_until(lambda: select.select([warm.socket], [], [], 0)[0], "the news of its end")
    heard = warm.hear
    monkeypatch.setattr(warm, "hear", lambda: None)  # the news comes a moment later
    run = shop.start("say", "here")
    monkeypatch.setattr(warm, "hear", heard)
    assert shop.await_end(run).exit_code == 0
    assert shop.log(run) == "here\n"


def test_calls_go_on_when_the_zygote_is_killed(shop, monkeypatch):
    monkeypatch.setattr(python, "_START_AGAIN", 0.0)
    shop.executor._nursery._next_zygote = 0.0
    first, zygote = shop.pid(), shop.zygote
    os.kill(zygote, signal.SIGKILL)
    shop.executor._nursery._process.wait()
    assert shop.told("who").split()[0] == str(first)  # its child does not need it
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: not is_alive(first), "the end of its child")
    assert shop.told("say", "still") == "still\n"
    wait_until(lambda: shop.told("who").split()[1] == str(shop.zygote), "a warm process")
    assert shop.zygote != zygote


def test_a_run_of_which_nobody_can_tell_any_more_has_failed(shop, tmp_path):
    run = shop.start("stay", str(tmp_path / "pid"))
    (pid,) = read_when_there(tmp_path / "pid")
    for one in (shop.zygote, int(pid)):
        os.kill(one, signal.SIGKILL)
    assert shop.await_end(run).exit_code == 255


@pytest.mark.parametrize(
    "fields",
    [
        {"cwd": "/"},
        {"env": {"PYTHONHASHSEED": "3"}},
        {"env": {"LD_DEBUG": ""}},
        {"env": {"LARGE": "x" * 40_000}},
    ],
)
def test_what_a_warm_process_could_not_do_as_its_command_is_run_as_that(shop, fields):
    own, parent, zygote = shop.told("who", **fields).split()
    assert parent != zygote


def test_a_call_of_another_python_runs_with_that_and_it_is_said_once(shop, tmp_path, caplog):
    other = tmp_path / "python"
    other.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    other.chmod(0o700)
    for _ in range(2):
        own, parent, zygote = shop.told("who", command=[str(other), "-m", "spoolq.call"]).split()
        assert parent != zygote
    assert caplog.text.count(f"calls with {other} run one by one") == 1


def test_this_python_by_another_of_its_names_is_warm(shop):
    here = Path(sys.executable).parent
    names = [one for one in here.iterdir() if one.resolve() == Path(sys.executable).resolve()]
    for name in {*names, here / ".." / here.name / Path(sys.executable).name}:
        own, parent, zygote = shop.told("who", command=[str(name), "-m", "spoolq.call"]).split()
        assert parent == zygote, name


def test_a_call_in_the_workers_own_directory_is_warm(shop):
    own, parent, zygote = shop.told("who", cwd=os.getcwd()).split()
    assert parent == zygote


def test_nothing_is_left_when_the_executor_is_closed(spool, tmp_path):
    shop = Shop(spool, tmp_path)
    child, zygote = shop.pid(), shop.zygote
    shop.close()
    wait_until(lambda: not is_alive(child) and not is_alive(zygote), "their end")


# --- what is told ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"preload": "no_such.module"}, "no_such.module cannot be imported: ModuleNotFoundError"),
        ({"preload": "wares,broken"}, "broken cannot be imported: ZeroDivisionError"),
        ({"preload": "threading_one"}, "threading_one starts a thread when it is imported"),
        ({"preload": "a b"}, "'a b' is no module's name"),
        ({"preload": "-c"}, "'-c' is no module's name"),
        ({"runs": "0"}, "runs=0: a whole number"),
        ({"runs": "x"}, "runs=x: a whole number"),
    ],
)
def test_what_is_wrong_with_the_options_is_told_at_the_start(spool, tmp_path, options, words):
    (tmp_path / "broken.py").write_text("1 / 0\n")
    (tmp_path / "threading_one.py").write_text(
        "import threading, time\n"
        "threading.Thread(target=time.sleep, args=(99,), daemon=True).start()\n"
    )
    (tmp_path / "wares.py").write_text(WARES)
    path = os.pathsep.join([str(tmp_path), str(REPOSITORY)])
    variables = {**os.environ, "PYTHONPATH": path}
    context = Context(spool, "w", 1, None, variables, instants.now, time.monotonic)
    with pytest.raises(BadInput, match=words) as refused:
        python.make(context, options)
    assert refused.value.hint


# --- a whole worker -------------------------------------------------------------------------------


@pytest.fixture
def start(start_worker, tmp_path):
    (tmp_path / "wares.py").write_text(WARES)

    def start(*options):
        return start_worker("--executor", "python", "--preload", "wares", *options, cwd=tmp_path)

    return start


def children_of(pid):
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                with open(f"/proc/{entry}/stat") as file:
                    if file.read().rpartition(")")[2].split()[1] == str(pid):
                        found.append(int(entry))
            except OSError:
                continue
    return found


def test_a_worker_that_is_killed_leaves_no_process_and_no_call_behind(start, spool, tmp_path):
    worker = start("--count", "2")
    with Spool(spool.path) as front:
        job_id = front.enqueue_call("wares:stay", str(tmp_path / "pid"), _job={"max_retries": 0})
        (pid,) = map(int, read_when_there(tmp_path / "pid"))
        (claim,) = map(names.parse, spool.dir("processing").list())
        assert claim.slot == "0"  # a run of this machine: recovery asks nobody
        (zygote,) = children_of(worker.pid)
        idle = [child for child in children_of(zygote) if child != pid]
        assert len(idle) == 1
        worker.kill()
        worker.wait()
        wait_until(lambda: not any(map(is_alive, [zygote, *idle])), "the end of those who wait")
        assert is_alive(pid)  # until it is known to be an orphan
        start()
        (view,) = front.wait([job_id], timeout=60)
        assert (view.state, view.error) == ("dead", "worker lost")
        assert not is_alive(pid)


def test_an_orphaned_call_may_be_waited_for(start, spool, tmp_path, run_cli):
    gate = tmp_path / "gate"
    (tmp_path / "gated.py").write_text(
        "import time\nfrom pathlib import Path\n"
        "def wait(begun, gate):\n"
        "    Path(begun).write_text('x')\n"
        "    while not Path(gate).exists(): time.sleep(0.01)\n"
        "    Path(begun).write_text('ended')\n"
    )
    run_cli("config", "set", "orphans", "wait")
    worker = start()
    with Spool(spool.path) as front:
        job_id = front.enqueue_call(
            "gated:wait", str(tmp_path / "begun"), str(gate), _job={"max_retries": 0}
        )
        read_when_there(tmp_path / "begun")
        worker.kill()
        worker.wait()
        start()
        gate.touch()
        (view,) = front.wait([job_id], timeout=60)
        assert view.error == "worker lost"  # nobody heard how it ended
        assert (tmp_path / "begun").read_text() == "ended"


def test_many_calls_are_made_once_each(start, spool, tmp_path):
    with Spool(spool.path) as front:
        (tmp_path / "count.py").write_text(
            "def one(path, number):\n"
            "    with open(path, 'a') as file: file.write(f'{number}\\n')\n"
            "    return number\n"
        )
        out = str(tmp_path / "out")
        ids = [front.enqueue_call("count:one", out, number) for number in range(100)]
        worker = start("--drain", "--count", "2")
        assert worker.wait(120) == 0
        assert [front.result(job_id) for job_id in ids] == [*range(100)]
        with open(out) as file:
            assert sorted(map(int, file)) == [*range(100)]


def test_a_worker_that_cannot_import_says_so_and_leaves(run_cli):
    done = run_cli("worker", "start", "--executor", "python", "--preload", "no_such", check=False)
    assert done.returncode == 1
    assert "no_such cannot be imported" in done.stderr
    assert "Traceback" not in done.stderr


def test_preload_is_for_calls_alone(run_cli):
    done = run_cli("worker", "start", "--preload", "os", check=False)
    assert done.returncode == 1
    assert "the executor 'local' has no option 'preload'" in done.stderr
