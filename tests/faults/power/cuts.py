"""Random power cuts, again and again on one image: the guest is killed while it works.

What `dmlog` builds by itself is here left by a real kernel that died at no chosen moment, and the
next guest's kernel and worker recover from it.
"""

import json
import os
import random
import time
from typing import Any, Dict, List, Sequence, Set

from .. import checker, uml
from ..reboot import to_the_end
from . import judge, machine, workload
from .machine import Promise

_ENOUGH = 30  # promises of one boot; the cut comes after 1 to so many


def perform(filesystems: Sequence[str], number: int) -> Dict[str, Any]:
    """Cut the power `number` times on each filesystem and return what was found."""
    line: Dict[str, Any] = {"cuts": {}, "told": {}, "violations": 0, "controls": {}}
    examples: List[str] = []
    for filesystem in filesystems:
        with machine.workshop() as directory:
            loop = _Loop(filesystem, directory)
            for turn in range(number):
                wrong = loop.cut(turn)
                line["violations"] += bool(wrong)
                examples += [f"{filesystem}, cut {turn}: {text}" for text in wrong[:3]]
            wrong = loop.end()
            line["violations"] += bool(wrong)
            examples += [f"{filesystem}, at the end: {text}" for text in wrong[:3]]
            line["cuts"][filesystem] = number
            line["told"][filesystem] = loop.told
    if examples:
        line["examples"] = examples[:10]
    return line


class _Loop:
    """An image on which guest after guest dies, and all that any of them was promised."""

    def __init__(self, filesystem: str, directory: str) -> None:
        self._filesystem = filesystem
        self._directory = directory
        self._image = os.path.join(directory, "disk.img")
        self._mount = os.path.join(directory, "mnt")
        self._chance = random.Random(filesystem)
        self._promises: List[Promise] = []
        os.mkdir(self._mount)
        machine.make_image(self._image, filesystem)

    @property
    def told(self) -> int:
        """The number of jobs, drops and ends that were told."""
        sums = judge.told(self._promises)
        return len(sums.acknowledged) + len(sums.dropped) + len(sums.ended)

    def cut(self, turn: int) -> List[str]:
        """Boot, kill at a random moment, look: return what is wrong."""
        guest = machine.Guest(self._filesystem, "full", "plain", rounds=0, turn=turn * 100)
        process = machine.boot(guest, self._directory, self._image)
        left = self._chance.randint(1, _ENOUGH)
        try:
            for line in uml.lines(process, 60):
                promise = machine.read_promise(line)
                if promise:
                    self._promises.append(promise[1])
                    left -= 1
                if left <= 0:
                    time.sleep(self._chance.random() * 0.1)
                    break
        finally:
            uml.cut(process)
            # What it told before it died, and nobody had read yet, was told as well.
            rest = process.stdout.read() if process.stdout else b""
        for line in rest.decode(errors="replace").split("\n")[:-1]:
            promise = machine.read_promise(line.strip())
            if promise:
                self._promises.append(promise[1])
        return self._look(recover=False)

    def end(self) -> List[str]:
        """Recover and run all that is left: return what is wrong."""
        return self._look(recover=True)

    def _look(self, recover: bool) -> List[str]:
        sums = judge.told(self._promises)
        uml.run("mount", "-o", "loop", self._image, self._mount)
        try:
            path = os.path.join(self._mount, "spool")
            if not any(promise.kind == "ready" for promise in self._promises):
                return []
            drops = _drops(path)
            before = checker.read(path, drops)
            wrong = judge.at_once(before, judge.waits(path), sums, "full").violations
            if recover:
                to_the_end(path)
                after = checker.read(path, drops)
                wrong += judge.afterwards(path, before, after, sums, "full").violations
            return wrong
        finally:
            uml.run("umount", self._mount)


def _drops(path: str) -> Set[bytes]:
    """Return what drops may hold: any name that a guest may have dropped, acknowledged or not."""
    found = set()
    for state in ("pending", "processing"):
        for filename in os.listdir(os.path.join(path, state)):
            stem = filename.split("@")[0]
            if stem.startswith("drop-"):
                name = stem[: -len(".json")] if stem.endswith(".json") else stem
                found.add(json.dumps(workload.contents(name)).encode())
    return found
