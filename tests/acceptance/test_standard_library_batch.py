"""A real batch: the SHA-256 of every file of the standard library, by way of a killed worker."""

import hashlib
import json
import os
import shlex
import signal
import subprocess
import sysconfig
from pathlib import Path

from spoolq import instants, logs
from tests.conftest import entries, wait_until

# What a producer that knows nothing of spoolq does: write a file, move it in.
DROP = r"""
n=0
while IFS= read -r file; do
  n=$((n + 1))
  printf '{"id": "drop-%s", "command": "sha256sum %s"}\n' "$n" "$file" > "$1/new.$n"
  mv "$1/new.$n" "$2/pending/job.$n.json"
done
"""


def standard_library():
    """Every .py file of the running Python's standard library whose path needs no quoting."""
    root = Path(sysconfig.get_path("stdlib"))
    files = [
        str(path)
        for path in sorted(root.rglob("*.py"))
        if "site-packages" not in path.parts and shlex.quote(str(path)) == str(path)
    ]
    assert len(files) > 500
    return files


def overlaps(history):
    """Whether a run began before the one before it had ended."""
    spans = [
        (instants.from_rfc3339(run["started_at"]), instants.from_rfc3339(run["finished_at"]))
        for run in history
    ]
    return any(later[0] < earlier[1] for earlier, later in zip(spans, spans[1:]))


def test_every_file_of_the_standard_library_is_digested_once_though_a_worker_is_killed(
    spool, run_cli, start_worker, tmp_path
):
    files = standard_library()
    half = len(files) // 2
    workers = [start_worker("--count", "2") for _ in range(2)]

    lines = "".join(f"sha256sum {name}\n" for name in files[:half])
    enqueued = run_cli("enqueue", "-", stdin=lines).stdout.split()
    expected = dict(zip(enqueued, files[:half]))
    outside = tmp_path / "producer"
    outside.mkdir()
    subprocess.run(
        ["/bin/sh", "-c", DROP, "sh", str(outside), spool.path],
        input="".join(f"{name}\n" for name in files[half:]),
        text=True,
        check=True,
    )
    expected.update({f"drop-{n}": name for n, name in enumerate(files[half:], 1)})
    assert len(expected) == len(files)

    def is_amid():
        done = len(entries(spool, "completed"))
        return done > len(files) // 4 and any(
            f"@{worker_name}" in name
            for name in entries(spool, "processing")
            for worker_name in os.listdir(os.path.join(spool.path, "workers"))
            if f"-{workers[0].pid}-" in worker_name
        )

    wait_until(is_amid, "a quarter of the batch, and a job running in the first worker")
    workers[0].send_signal(signal.SIGKILL)
    workers[0].wait()
    start_worker("--count", "2")
    run_cli("wait", timeout=600)

    found = {}
    for filename in entries(spool, "completed"):
        job = json.loads(Path(spool.path, "completed", filename).read_text())
        job_id = filename.split(".")[3]
        assert job_id not in found, "an id in two files"
        found[job_id] = job
    assert set(found) == set(expected)
    assert {state: entries(spool, state) for state in ("pending", "processing", "failed")} == {
        "pending": [], "processing": [], "failed": [],
    }  # fmt: skip
    assert entries(spool, "dead") == []

    log_of = {}
    for name in map(logs.parse, spool.dir("logs").list()):
        log_of.setdefault(name.id, []).append(name)
    for job_id, file in expected.items():
        history = found[job_id]["history"]
        assert history[-1]["exit_code"] == 0
        assert not overlaps(history)
        last = max(log_of[job_id], key=lambda name: name.stamp)
        digest = Path(spool.path, "logs", str(last)).read_text().split()[0]
        assert digest == hashlib.sha256(Path(file).read_bytes()).hexdigest()
    runs = sum(len(job["history"]) for job in found.values())
    assert runs - len(expected) <= 4, "more runs were lost than the killed worker had"
