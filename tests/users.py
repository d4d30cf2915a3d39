"""Other users, for tests that run as root: a forked child that becomes one of them."""

import ctypes
import grp
import json
import os
import pwd
import shutil
import subprocess
import tempfile
import traceback
import uuid

import portalocker
import pytest

IMPORTED = (ctypes, portalocker)  # what spoolq imports late; see `run_as`
NUMBER = 12345  # a user that no table knows: containers run as such
ROOT = pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can become somebody else"
)


def run_as(function, uid=None, gid=None, umask=0o022, groups=()):
    """Call `function` in a child process as this user and return what it returned, by way of JSON.

    A fork and no exec: the interpreter of the tests may lie where that user cannot read, so what
    the function imports must have been imported before.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.close(reading)
            if uid is not None:
                os.setgroups(groups)
                os.setgid(gid)
                os.setuid(uid)
            os.umask(umask)
            answer = [function()]
            umask_after = os.umask(0)
            if umask_after != umask:
                raise AssertionError(f"the umask was changed to {umask_after:o}")
            status = 0
        except BaseException:
            answer = traceback.format_exc()
        finally:
            try:
                with open(writing, "w") as pipe:
                    json.dump(answer, pipe)
            finally:
                os._exit(status)
    os.close(writing)
    with open(reading) as pipe:
        text = pipe.read()
    os.waitpid(child, 0)
    answer = json.loads(text)
    if isinstance(answer, str):
        raise AssertionError(f"in the child:\n{answer}")
    return answer[0]


@pytest.fixture
def home():
    """Make directories for other users, where they can go: tmp_path is the tester's alone."""
    made = []

    def make(uid, gid, mode=0o700):
        path = tempfile.mkdtemp(prefix="spoolq-test-")
        made.append(path)
        os.chown(path, uid, gid)
        os.chmod(path, mode)
        return os.path.realpath(path)

    yield make
    for path in made:
        shutil.rmtree(path)


@pytest.fixture
def private_user():
    """A user with a group of its own, as Debian and Ubuntu make them; removed afterwards."""
    if os.geteuid() != 0 or shutil.which("useradd") is None:
        pytest.skip("only root, with useradd, can make a user")
    name = f"spoolq{uuid.uuid4().hex[:8]}"
    made = subprocess.run(
        ["useradd", "--user-group", "--no-create-home", "--shell", "/bin/false", name],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    if made.returncode != 0:
        pytest.skip(f"useradd refused: {made.stdout.decode(errors='replace')}")
    yield pwd.getpwnam(name)
    subprocess.run(["userdel", name], check=True, stdout=subprocess.DEVNULL)
    if any(group.gr_name == name for group in grp.getgrall()):
        subprocess.run(["groupdel", name], check=True)
