"""Processes are started the short way where that can be, and no way differs from the other."""

import errno
import os
import subprocess

import pytest

from spoolq.executors import spawning

pytestmark = pytest.mark.skipif(not spawning._can_spawn(), reason="no posix_spawn with sessions")


@pytest.fixture(params=["posix_spawn", "Popen"])
def way(request, monkeypatch):
    """Both ways; what a test says holds of each."""
    if request.param == "Popen":
        monkeypatch.setattr(spawning, "_can_spawn", lambda: False)
    return request.param


@pytest.fixture
def start(tmp_path):
    """Start a command and return its exit code and what it printed."""
    null = os.open(os.devnull, os.O_RDONLY)
    lock = os.open(str(tmp_path / "lock"), os.O_CREAT | os.O_RDWR)

    def start(words, cwd=None, **variables):
        environment = {b"PATH": os.fsencode(os.environ["PATH"])}
        environment.update({key.encode(): os.fsencode(value) for key, value in variables.items()})
        output = os.open(str(tmp_path / "output"), os.O_CREAT | os.O_TRUNC | os.O_RDWR)
        try:
            process = spawning.start(
                words, environment, stdin=null, output=output, inherit=[lock], cwd=cwd
            )
            code = process.wait()
            assert process.poll() == code
            return code, (tmp_path / "output").read_text()
        finally:
            os.close(output)

    yield start
    os.close(null)
    os.close(lock)


def test_exit_codes_and_signals_are_told(way, start):
    assert start(["sh", "-c", "exit 3"]) == (3, "")
    assert start(["sh", "-c", "kill -9 $$"]) == (-9, "")


def test_a_command_leads_its_session_and_its_group(way, start):
    _, told = start(["sh", "-c", "echo $$; ps -o sid=,pgid= -p $$"])
    assert len(set(told.split())) == 1


def test_a_command_expects_python_to_ignore_no_signal_for_it(way, start):
    _, told = start(["grep", "SigIgn", "/proc/self/status"])
    ignored = int(told.split()[1], 16) & ((1 << 31) - 1)  # above are the C library's own
    assert ignored == 0


@pytest.mark.parametrize("first", ["a loop", "a long name", "no program", "nothing", "a file"])
def test_what_is_odd_in_path_hides_no_program_behind_it(way, start, tmp_path, first):
    odd = tmp_path / "odd"
    if first == "a loop":
        odd.symlink_to(odd)
    elif first == "no program":
        odd.mkdir()
        (odd / "true").write_bytes(b"\1\2\3 neither a binary nor a script")
        (odd / "true").chmod(0o755)
    elif first == "a file":
        odd.touch()
    name = "x" * 5000 if first == "a long name" else str(odd)
    assert start(["true"], PATH=f"{name}:{os.environ['PATH']}") == (0, "")


def test_a_program_that_is_nowhere_is_named(way, start):
    with pytest.raises(FileNotFoundError) as caught:
        start(["no-such-program"])
    assert caught.value.filename == "no-such-program"


def test_a_directory_that_is_to_blame_is_named(way, start, tmp_path):
    with pytest.raises(FileNotFoundError) as caught:
        start(["true"], cwd=str(tmp_path / "none"))
    assert caught.value.filename == str(tmp_path / "none")


def test_a_python_that_was_built_without_sessions_starts_commands_all_the_same(start, monkeypatch):
    """As those that are built for an old glibc, to run anywhere."""

    def unbuilt(*_, setsid=False, **__):
        assert setsid
        raise NotImplementedError("posix_spawn: setsid unavailable on this platform")

    spawning._can_spawn.cache_clear()
    monkeypatch.setattr(os, "posix_spawn", unbuilt)
    try:
        assert not spawning._can_spawn()
        assert start(["sh", "-c", "exit 4"])[0] == 4
    finally:
        monkeypatch.undo()
        spawning._can_spawn.cache_clear()


def test_a_way_home_that_is_closed_loses_no_command_that_has_started(start, tmp_path, monkeypatch):
    """Found by a review: the run was told as not started, and started again beside itself."""
    here, calls = os.getcwd(), []
    real = os.fchdir

    def closed_behind_us(descriptor):
        calls.append(descriptor)
        if len(calls) > 1:
            raise PermissionError(errno.EACCES, "Permission denied")
        real(descriptor)

    try:
        with monkeypatch.context() as patches:
            patches.setattr(os, "fchdir", closed_behind_us)
            assert start(["pwd", "-P"], cwd=str(tmp_path)) == (0, f"{os.path.realpath(tmp_path)}\n")
            assert os.getcwd() == "/"
            patches.setattr(
                os, "posix_spawn", lambda *_, **__: pytest.fail("it goes where it cannot return")
            )
            assert start(["pwd", "-P"], cwd=str(tmp_path))[0] == 0
    finally:
        os.chdir(here)


def test_two_threads_may_wait_for_one_process(start, tmp_path):
    """One that sleeps until it ends, where there are no pidfds, and the loop that looks."""
    import threading

    null = os.open(os.devnull, os.O_RDWR)
    lock = os.open(str(tmp_path / "lock"), os.O_RDWR)
    reading, writing = os.pipe()
    words = ["sh", "-c", f"read x < /proc/{os.getpid()}/fd/{reading}; exit 5"]
    process = spawning.start(
        words, dict(os.environb), stdin=null, output=null, inherit=[lock], cwd=None
    )
    codes = []
    waits = threading.Thread(target=lambda: codes.append(process.wait()))
    waits.start()
    assert process.poll() is None
    os.write(writing, b"\n")
    while process.poll() is None:
        pass
    waits.join()
    assert (codes, process.poll()) == ([5], 5)
    for descriptor in (null, lock, reading, writing):
        os.close(descriptor)


def test_a_code_that_somebody_else_has_taken_is_no_success():
    other = subprocess.Popen(["true"])
    other.wait()
    assert spawning._Spawned(other.pid).poll() == 255
