"""A spool that is unmounted, deleted, moved away or replaced under a worker."""

import os
import shutil
from typing import Callable, List

from ..cases import Bench, Case
from ..place import Place, wait_for
from ..uml import run
from . import disks
from .disks import judge, refused, start_waiting, unable

_LOST = ("was removed or replaced",)


def _worker_gives_up(bench: Bench, running: disks.Running) -> None:
    """See that the worker ends its commands, says why, and leaves with an error."""
    left = wait_for(lambda: running.worker.poll() is not None, 20)
    bench.check(left, "the worker goes on")
    bench.check(running.worker.returncode not in (0, 3), f"exit {running.worker.returncode}")
    running.says(*_LOST)
    bench.check("Traceback" not in bench.place.said(), bench.place.said()[-800:])
    over = all("end" not in bench.place.noted(one) for one in running.ids)
    bench.check(over, "a command came to its end though its claim was lost")


def _unmounted(bench: Bench) -> None:
    place = bench.place
    with disks.ext4(bench) as image:
        place.make()
        running = start_waiting(bench)
        try:
            run("umount", "--lazy", place.spool)
            _worker_gives_up(bench, running)
            bench.check(os.listdir(place.spool) == [], f"made: {os.listdir(place.spool)}")
            refused(bench, place, "not a spool", "no spool")
            refused(bench, place, "not a spool", "no spool", verb=("worker", "start"))
            bench.check(os.listdir(place.spool) == [], f"made: {os.listdir(place.spool)}")
            run("mount", "-o", "loop", image, place.spool)
            _go_on(bench, running)
        finally:
            running.end()


def _go_on(bench: Bench, running: disks.Running) -> None:
    """A fresh worker finds everything, and runs what was lost once more."""
    with open(os.path.join(bench.place.runs, "go"), "w", encoding="ascii"):
        pass
    done = bench.place.spoolq("worker", "start", "--drain", check=False)
    bench.check(done.returncode == 0, f"the next worker: {done.stderr[-500:]}")
    judge(bench, running.ids, runs=2)


def _replaced(harm: Callable[[Place], None]) -> Callable[[Bench], None]:
    def perform(bench: Bench) -> None:
        place = bench.place
        place.make()
        running = start_waiting(bench)
        try:
            harm(place)
            before = _tree(place.spool)
            _worker_gives_up(bench, running)
            bench.check(_tree(place.spool) == before, "the worker wrote where it has no business")
            if os.path.isdir(place.spool + ".away"):
                shutil.rmtree(place.spool, ignore_errors=True)
                os.rename(place.spool + ".away", place.spool)
                _go_on(bench, running)
        finally:
            running.end()
            bench.count("spools taken away")

    return perform


def _tree(path: str) -> List[str]:
    return sorted(os.path.join(top, name) for top, d, f in os.walk(path) for name in (*d, *f))


def _delete(place: Place) -> None:
    shutil.rmtree(place.spool)


def _move(place: Place) -> None:
    os.rename(place.spool, place.spool + ".away")


def _exchange(place: Place) -> None:
    other = place._replace(top=place.top + "/other")
    os.mkdir(other.top)
    other.make()
    os.rename(place.spool, place.spool + ".away")
    os.rename(other.spool, place.spool)


def _tmp_elsewhere(bench: Bench) -> None:
    """A tmp/ on another filesystem is refused by whoever writes there, and nothing is copied."""
    place = bench.place
    place.make()
    run("mount", "-t", "tmpfs", "-o", "mode=700", "tmpfs", os.path.join(place.spool, "tmp"))
    try:
        for verb in (("enqueue", "true"), ("worker", "start")):
            refused(bench, place, "filesystem", verb=verb)
        bench.check(not place.names("pending"), f"pending: {place.names('pending')}")
        bench.check(not place.names("workers"), f"workers: {place.names('workers')}")
    finally:
        run("umount", os.path.join(place.spool, "tmp"))
    ids = place.enqueue([disks.body()])
    place.spoolq("worker", "start", "--drain")
    judge(bench, ids)


def _read_only(bench: Bench) -> None:
    """A spool that was mounted read-only can be looked at, and refuses the rest clearly."""
    place = bench.place
    with disks.ext4(bench):
        place.make()
        ids = place.enqueue([disks.body()])
        run("mount", "-o", "remount,ro", place.spool)
        for verb in (("status",), ("list",), ("show", ids[0]), ("dlq", "list")):
            done = place.spoolq(*verb, check=False)
            bench.check(done.returncode == 0, f"{verb} on a read-only spool: {done.stderr}")
        for verb in (("enqueue", "true"), ("worker", "start"), ("cancel", ids[0]), ("pause",)):
            refused(bench, place, "Read-only", "read-only", verb=verb)
        run("mount", "-o", "remount,rw", place.spool)
        place.spoolq("worker", "start", "--drain")
        judge(bench, ids)


CASES = [
    Case("unmounted under a worker", _unmounted, unable),
    Case("the spool is deleted", _replaced(_delete)),
    Case("the spool is moved away", _replaced(_move)),
    Case("the spool is exchanged for another", _replaced(_exchange)),
    Case("tmp/ is on another filesystem", _tmp_elsewhere, unable),
    Case("mounted read-only, and back", _read_only, unable),
]
