"""The command line in this process, which is quick, and in the background."""

import io
import subprocess
import sys
from typing import NamedTuple

import pytest

from spoolq.cli import main, render
from tests.conftest import environment


class Done(NamedTuple):
    """How a call of the command line ended."""

    code: int
    out: str
    err: str

    @property
    def ids(self):
        return self.out.split()


@pytest.fixture
def spoolq(spool, capsys, monkeypatch):
    """Call `spoolq --spool SPOOL ARGS` in this process; exit code 0 is demanded unless told."""

    def call(*args, code=0, stdin=b"", spool_path=None):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        monkeypatch.setattr(render, "_color", "auto")
        capsys.readouterr()
        found = main.run(["--spool", str(spool_path or spool.path), *args])
        out, err = capsys.readouterr()
        assert found == code, f"{args} exited {found}: {out}{err}"
        return Done(found, out, err)

    return call


@pytest.fixture
def only_job(spool):
    """Return the fields of the only job in pending/."""

    def read():
        from spoolq import views

        (view,) = views.jobs(spool, state="pending")
        return view.job.fields

    return read


@pytest.fixture
def popen(spool):
    """Start a spoolq in the background, with its streams open."""
    started = []

    def start(*args):
        process = subprocess.Popen(
            [sys.executable, "-m", "spoolq", "--spool", spool.path, *args],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment(),
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()
