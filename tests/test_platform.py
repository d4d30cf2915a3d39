"""What differs between systems: this one as it is, the others by setting their flags."""

import errno
import grp
import io
import os
import select
import subprocess
import sys
import time
import types

import pytest

from spoolq import platform
from tests.conftest import DEADLINE, environment

LINUX = pytest.mark.skipif(not platform.LINUX, reason="only Linux has it")


def fake_open(monkeypatch, text):
    """Let files of the system hold `text`, or be missing where it is None."""

    def fake(path, *args, **kwargs):
        if text is None:
            raise FileNotFoundError(path)
        return io.StringIO(text)

    monkeypatch.setattr(platform, "open", fake, raising=False)


class TestCommands:
    """How a command is started."""

    def test_text_is_run_by_the_configured_shell(self):
        assert platform.shell_command("a | b", "/bin/bash") == ["/bin/bash", "-c", "a | b"]

    def test_windows_runs_text_by_its_own_shell(self, monkeypatch):
        monkeypatch.setattr(platform, "WINDOWS", True)
        monkeypatch.setenv("COMSPEC", r"C:\cmd.exe")
        assert platform.shell_command("dir", "/bin/sh") == [r"C:\cmd.exe", "/d", "/s", "/c", "dir"]
        monkeypatch.delenv("COMSPEC")
        assert platform.shell_command("dir", "/bin/sh")[0] == "cmd.exe"

    def test_a_shell_that_was_chosen_is_used_on_windows_too(self, monkeypatch):
        monkeypatch.setattr(platform, "WINDOWS", True)
        assert platform.shell_command("ls", "bash.exe") == ["bash.exe", "-c", "ls"]

    @pytest.mark.skipif(platform.WINDOWS, reason="it is about POSIX sessions")
    def test_a_run_has_a_session_of_its_own_and_one_descriptor_beside_its_three(self):
        reading, writing = os.pipe()
        done = subprocess.run(
            [
                sys.executable,
                "-c",
                "import os, sys; os.fstat(int(sys.argv[1]))\n"
                "try: os.fstat(int(sys.argv[2])); print('leaked')\n"
                "except OSError: print(os.getsid(0) == os.getpid())",
                str(reading),
                str(writing),
            ],
            stdout=subprocess.PIPE,
            **platform.spawn_options([reading]),
        )
        os.close(reading)
        os.close(writing)
        assert done.stdout == b"True\n"

    def test_windows_starts_a_process_group_and_inherits_nothing(self, monkeypatch):
        monkeypatch.setattr(platform, "WINDOWS", True)
        assert platform.spawn_options([7]) == {"creationflags": 0x200, "close_fds": True}


class TestProcesses:
    """How a process is told from another."""

    def test_the_boot_id_stays_the_same(self):
        assert platform.boot_id() == platform.boot_id()
        assert platform.boot_id() or not platform.LINUX

    def test_the_boot_id_is_empty_where_it_is_unknown(self, monkeypatch):
        fake_open(monkeypatch, None)
        assert platform.boot_id() == ""

    @pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="this Python has no pidfd_open")
    def test_a_pidfd_becomes_readable_when_the_child_ends(self):
        child = subprocess.Popen(["cat"], stdin=subprocess.PIPE)
        descriptor = platform.pidfd_open(child.pid)
        assert select.select([descriptor], [], [], 0) == ([], [], [])
        child.stdin.close()
        assert select.select([descriptor], [], [], 60)[0] == [descriptor]
        child.wait()
        os.close(descriptor)

    def test_where_python_has_no_pidfd_there_is_none(self, monkeypatch):
        monkeypatch.delattr(os, "pidfd_open", raising=False)
        assert platform.pidfd_open(os.getpid()) is None

    @pytest.mark.parametrize("code", [errno.ENOSYS, errno.EMFILE, errno.ESRCH])
    def test_where_the_kernel_gives_no_pidfd_there_is_none(self, code, monkeypatch):
        def refuse(pid):
            raise OSError(code, "no")

        monkeypatch.setattr(os, "pidfd_open", refuse, raising=False)
        assert platform.pidfd_open(os.getpid()) is None


class _Library:
    """A C library whose calls fail with an errno, or are missing."""

    def __init__(self, code=None):
        if code is not None:
            self.renameat2 = self.syncfs = lambda *_: self._fail(code)

    @staticmethod
    def _fail(code):
        import ctypes

        ctypes.set_errno(code)
        return -1


class TestRenameNoreplace:
    """A rename that never replaces, or the answer that there is none."""

    @LINUX
    def test_it_renames_by_path_and_in_directories(self, tmp_path):
        (tmp_path / "a").write_text("a")
        inner = tmp_path / "inner"
        inner.mkdir()
        if not platform.rename_noreplace(str(tmp_path / "a"), str(tmp_path / "b"), None, None):
            pytest.skip("this filesystem has no renameat2")
        source, target = os.open(tmp_path, os.O_RDONLY), os.open(inner, os.O_RDONLY)
        assert platform.rename_noreplace("b", "ü", source, target)
        os.close(source)
        os.close(target)
        assert (inner / "ü").read_text() == "a"

    @LINUX
    def test_it_raises_what_rename_raises(self, tmp_path):
        (tmp_path / "a").write_text("a")
        (tmp_path / "b").symlink_to("nowhere")
        with pytest.raises(FileExistsError) as caught:
            platform.rename_noreplace(str(tmp_path / "a"), str(tmp_path / "b"), None, None)
        assert (caught.value.filename, caught.value.filename2) == (
            str(tmp_path / "a"),
            str(tmp_path / "b"),
        )
        with pytest.raises(FileNotFoundError):
            platform.rename_noreplace(str(tmp_path / "x"), str(tmp_path / "b"), None, None)

    @LINUX
    @pytest.mark.parametrize("code", [errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP])
    def test_a_filesystem_that_cannot_says_so(self, code, monkeypatch):
        monkeypatch.setattr(platform, "_libc", _Library(code))
        assert platform.rename_noreplace("a", "b", None, None) is False

    @LINUX
    @pytest.mark.parametrize("code", [errno.EXDEV, errno.ENOSPC, errno.EIO])
    def test_any_other_error_is_an_error(self, code, monkeypatch):
        monkeypatch.setattr(platform, "_libc", _Library(code))
        with pytest.raises(OSError) as caught:
            platform.rename_noreplace("a", "b", None, None)
        assert caught.value.errno == code

    @LINUX
    def test_a_c_library_without_it_says_so(self, monkeypatch):
        monkeypatch.setattr(platform, "_libc", _Library())
        assert platform.rename_noreplace("a", "b", None, None) is False

    def test_other_systems_have_none(self, monkeypatch):
        monkeypatch.setattr(platform, "LINUX", False)
        assert platform.rename_noreplace("a", "b", None, None) is False

    def test_on_windows_every_rename_is_one(self, tmp_path, monkeypatch):
        monkeypatch.setattr(platform, "WINDOWS", True)
        (tmp_path / "a").write_text("a")
        assert platform.rename_noreplace(str(tmp_path / "a"), str(tmp_path / "b"), None, None)
        assert (tmp_path / "b").read_text() == "a"


class TestSyncing:
    """One sync for a filesystem, and none for a directory."""

    def test_the_answer_is_whether_it_was_done(self, tmp_path):
        descriptor = os.open(tmp_path, os.O_RDONLY)
        answer = platform.sync_filesystem(descriptor)
        os.close(descriptor)
        assert answer is (platform.LINUX and platform._kernel_release() >= (5, 8))

    @pytest.mark.parametrize("release", ["5.7.19-generic", "4.19.0", "3.10.0-1160.el7.x86_64"])
    def test_an_old_kernel_that_hides_errors_is_not_trusted(self, release, monkeypatch):
        monkeypatch.setattr(os, "uname", lambda: types.SimpleNamespace(release=release))
        assert platform.sync_filesystem(-1) is False

    @pytest.mark.parametrize(
        ("release", "numbers"),
        [
            ("6.18.44-fc-v657", (6, 18)),
            ("5.8-rc1", (5, 81)),
            ("5.8", (5, 8)),
            ("6.1.0+", (6, 1)),
            ("5.x", (5, 0)),
        ],
    )
    def test_a_release_is_read_as_two_numbers(self, release, numbers, monkeypatch):
        monkeypatch.setattr(os, "uname", lambda: types.SimpleNamespace(release=release))
        assert platform._kernel_release() == numbers

    @LINUX
    def test_a_failed_sync_is_an_error(self, monkeypatch):
        monkeypatch.setattr(platform, "_kernel_release", lambda: (6, 0))
        with pytest.raises(OSError):
            platform.sync_filesystem(-1)
        monkeypatch.setattr(platform, "_libc", _Library(errno.EIO))
        with pytest.raises(OSError) as caught:
            platform.sync_filesystem(0)
        assert caught.value.errno == errno.EIO

    def test_without_the_call_the_answer_is_no(self, monkeypatch):
        monkeypatch.setattr(platform, "_kernel_release", lambda: (6, 0))
        monkeypatch.setattr(platform, "_libc", _Library())
        assert platform.sync_filesystem(0) is False
        monkeypatch.setattr(platform, "LINUX", False)
        assert platform.sync_filesystem(0) is False

    def test_windows_cannot_sync_directories(self, monkeypatch):
        assert platform.can_sync_directories() is not platform.WINDOWS
        monkeypatch.setattr(platform, "WINDOWS", True)
        assert not platform.can_sync_directories()


class TestHasWriter:
    """Whether a file is still being written, as far as the system can tell."""

    @pytest.fixture
    def path(self, tmp_path):
        path = tmp_path / "x.json"
        path.write_text("{}")
        return path

    def ask(self, path):
        descriptor = os.open(path, os.O_RDONLY | platform.SAFE_OPEN)
        try:
            return platform.has_writer(descriptor)
        finally:
            os.close(descriptor)

    @LINUX
    def test_a_file_is_being_written_until_the_writer_closes_it(self, path):
        assert not self.ask(path)
        with open(path, "a"):
            assert self.ask(path)
        assert not self.ask(path)

    def test_who_only_reads_is_no_writer(self, path):
        with open(path):
            assert not self.ask(path)

    def test_other_systems_cannot_tell(self, path, monkeypatch):
        monkeypatch.setattr(platform, "LINUX", False)
        with open(path, "a"):
            assert not self.ask(path)

    @LINUX
    @pytest.mark.parametrize("code", [errno.EACCES, errno.EINVAL, errno.EOPNOTSUPP])
    def test_where_leases_do_not_work_the_answer_is_no(self, path, code, monkeypatch):
        import fcntl

        def refuse(descriptor, command, argument):
            raise OSError(code, "no leases here")

        monkeypatch.setattr(fcntl, "fcntl", refuse)
        with open(path, "a"):
            assert not self.ask(path)

    @LINUX
    def test_asking_leaves_no_lease_behind(self, path):
        descriptor = os.open(path, os.O_RDONLY)
        assert not platform.has_writer(descriptor)
        opened = os.open(path, os.O_WRONLY | os.O_NONBLOCK)  # a lease would refuse it at once
        os.close(opened)
        os.close(descriptor)

    @LINUX
    def test_a_writer_that_breaks_the_lease_does_no_harm(self, path):
        asks = subprocess.Popen(
            [
                sys.executable,
                "-c",
                "import os, sys; from spoolq import platform\n"
                "descriptor = os.open(sys.argv[1], os.O_RDONLY)\n"
                "print('ready', flush=True)\n"
                "answers = [0, 0]\n"
                "while not os.path.exists(sys.argv[1] + '.enough'):\n"
                "    answers[platform.has_writer(descriptor)] += 1\n"
                "print(*answers)",
                str(path),
            ],
            stdout=subprocess.PIPE,
            env=environment(),
        )
        with asks:
            try:
                assert asks.stdout.readline() == b"ready\n"
                broken = tries = 0
                deadline = time.monotonic() + DEADLINE  # on a busy machine they seldom meet
                while tries < 20_000 or (not broken and time.monotonic() < deadline):
                    tries += 1
                    try:
                        os.close(os.open(path, os.O_WRONLY | os.O_NONBLOCK))
                    except BlockingIOError:
                        broken += 1  # the lease was held just then, and is broken
                for _ in range(200):
                    os.close(os.open(path, os.O_WRONLY))  # waits until the lease is given up
            finally:
                (path.parent / "x.json.enough").touch()
            answers = asks.stdout.read().split()
        assert asks.returncode == 0, "a signal of the lease ended the process"
        assert int(answers[0]) > 0
        assert broken > 0 or os.cpu_count() == 1

    @LINUX
    def test_without_the_other_signal_the_same_writer_ends_the_process(self, path):
        """The control: with the signal that a lease sends by default, the harm is done."""
        code = (
            "import fcntl, os, sys\n"
            "descriptor = os.open(sys.argv[1], os.O_RDONLY)\n"
            "fcntl.fcntl(descriptor, 1024, fcntl.F_RDLCK)\n"
            "try: os.open(sys.argv[1], os.O_WRONLY | os.O_NONBLOCK)\n"
            "except BlockingIOError: pass\n"
            "print('alive')"
        )
        own = "fcntl.fcntl(descriptor, 10, 23)\n"  # F_SETSIG, SIGURG
        changed = code.replace("fcntl.fcntl(descriptor, 1024", own + "fcntl.fcntl(descriptor, 1024")
        outcomes = [
            subprocess.run([sys.executable, "-c", text, str(path)], stdout=subprocess.PIPE)
            for text in (code, changed)
        ]
        assert outcomes[0].returncode < 0
        assert outcomes[1].stdout == b"alive\n"


class TestNetworkFilesystem:
    """Whether other hosts may be there too."""

    def mountinfo(self, path, kind):
        device = os.stat(path).st_dev
        number = f"{os.major(device)}:{os.minor(device)}"
        return f"1 0 254:99 / / rw - ext4 /dev/x rw\n2 1 {number} / /srv rw - {kind} host:/x rw\n"

    @pytest.mark.parametrize("kind", ["nfs4", "nfs", "cifs", "fuse.sshfs", "9p", "ceph"])
    def test_it_is_named(self, tmp_path, kind, monkeypatch):
        fake_open(monkeypatch, self.mountinfo(tmp_path, kind))
        assert platform.network_filesystem(str(tmp_path)) == kind

    def test_its_options_are_told(self, tmp_path, monkeypatch):
        options = "vers=3,nolock,local_lock=all,addr=10.0.0.1"
        line = self.mountinfo(tmp_path, "nfs").replace("host:/x rw", f"host:/x rw,{options}")
        fake_open(monkeypatch, line)
        assert platform.mount(str(tmp_path)) == ("nfs", {"rw", *options.split(",")})

    @pytest.mark.parametrize("kind", ["ext4", "xfs", "btrfs", "tmpfs", "overlay"])
    def test_a_local_one_is_none(self, tmp_path, kind, monkeypatch):
        fake_open(monkeypatch, self.mountinfo(tmp_path, kind))
        assert platform.network_filesystem(str(tmp_path)) is None

    @pytest.mark.parametrize(
        "text", [None, "", "nonsense\n", "1 0\n", "1 0 a:b / / rw - nfs x y\n"]
    )
    def test_where_the_system_does_not_say_it_counts_as_local(self, tmp_path, text, monkeypatch):
        fake_open(monkeypatch, text)
        assert platform.network_filesystem(str(tmp_path)) is None

    def test_a_path_that_is_gone_has_none(self, tmp_path):
        assert platform.network_filesystem(str(tmp_path / "nothing")) is None


def test_a_group_is_known_by_its_name(monkeypatch):
    group = grp.getgrgid(os.getgid())
    assert platform.group_id(group.gr_name) == group.gr_gid
    with pytest.raises(KeyError):
        platform.group_id("no such group, surely")
    monkeypatch.setattr(platform, "WINDOWS", True)
    with pytest.raises(KeyError):
        platform.group_id(group.gr_name)


def test_a_user_without_a_name_is_called_by_number(monkeypatch):
    assert platform.user_name(0) == "root"
    assert platform.user_name(2**31 - 3) == str(2**31 - 3)
    monkeypatch.setattr(platform, "WINDOWS", True)
    assert platform.user_name(0) == "0"
