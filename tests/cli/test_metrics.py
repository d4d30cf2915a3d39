"""`metrics`: to stdout, or into a file that another user reads."""

import os
import stat
import subprocess
import sys

import pytest

from spoolq import fsio
from tests.conftest import environment

pytest.importorskip("prometheus_client")


def test_the_text_goes_to_stdout_and_nothing_else_is_said(spoolq, spool):
    spoolq("enqueue", "true")
    done = spoolq("metrics")
    assert f'spoolq_jobs{{spool="{spool.path}",state="pending"}} 1.0\n' in done.out
    assert done.err == ""


def test_what_a_real_worker_did_is_told(spoolq, start_worker):
    spoolq("enqueue", "--tag", "mail", "true")
    spoolq("enqueue", "--tag", "mail", "--max-retries", "0", "--timeout", "0.1", "sleep 60")
    spoolq("enqueue", "--max-retries", "0", "false")
    assert start_worker("--drain").wait(60) == 0
    ones = [line for line in spoolq("metrics", "--tags", "mail").out.splitlines() if " 1.0" in line]
    for end in ("succeeded", "failed", "timed_out"):
        assert any(f'outcome="{end}"' in line for line in ones)
    assert sum('tag="mail"' in line for line in ones) == 2


def test_a_textfile_is_for_everybody_to_read_whatever_the_umask(run_cli, tmp_path):
    path = tmp_path / "spoolq.prom"
    path.write_text("old", encoding="utf-8")
    path.chmod(0o600)
    before = os.umask(0o077)
    try:
        done = run_cli("metrics", "--textfile", str(path))
    finally:
        os.umask(before)
    assert (done.stdout, done.stderr) == ("", ""), "cron would mail it"
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert path.read_text(encoding="utf-8").startswith("# HELP spoolq_")
    assert [name for name in os.listdir(tmp_path) if name.endswith(".new")] == []


@pytest.mark.parametrize("step", ["write_all", "sync_data"])
def test_a_textfile_that_cannot_be_written_leaves_the_old_one(spoolq, tmp_path, monkeypatch, step):
    path = tmp_path / "out" / "spoolq.prom"
    path.parent.mkdir()
    path.write_text("old", encoding="utf-8")

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(fsio, step, fail)
    assert "No space left on device" in spoolq("metrics", "--textfile", str(path), code=75).err
    assert path.read_text(encoding="utf-8") == "old"
    assert os.listdir(path.parent) == ["spoolq.prom"]


def test_a_textfile_that_node_exporter_would_not_read_is_refused(spoolq, tmp_path):
    done = spoolq("metrics", "--textfile", str(tmp_path / "x.txt"), code=2)
    assert "files in .prom" in done.err
    assert done.err.endswith(f"hint: spoolq metrics --textfile {tmp_path}/x.prom\n")
    done = spoolq("metrics", "--textfile", str(tmp_path), code=2)
    assert done.err.endswith(f"hint: spoolq metrics --textfile {tmp_path}/spoolq.prom\n")


def test_a_directory_that_is_not_there_is_named(spoolq, tmp_path):
    done = spoolq("metrics", "--textfile", str(tmp_path / "no" / "x.prom"), code=1)
    assert str(tmp_path / "no") in done.err


def test_without_its_library_the_command_says_what_to_install(spool):
    code = (
        "import sys; sys.modules['prometheus_client'] = None; from spoolq.cli import main;"
        f"sys.exit(main.run(['--spool', {spool.path!r}, 'metrics']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment()
    )
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr == (
        "Error: metrics need the library prometheus_client, which is not installed\n"
        "hint: pip install 'spoolq[metrics]'\n"
    )
