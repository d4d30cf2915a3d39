"""What is decided about new jobs under one lock: whether an id that is given is free.

Keys and what jobs wait for are in test_keys and test_dependencies.
"""

import threading

import pytest

from spoolq import admission
from spoolq.errors import IdTaken
from spoolq.job import Job
from spoolq.layout import STATES
from spoolq.spool import SpoolDir
from tests import given


@pytest.mark.parametrize("state", STATES)
def test_a_given_id_that_exists_in_any_state_is_refused(spool, clock, state):
    name = given.named(clock, "taken")
    held = name._replace(worker="w", slot="0") if state == "processing" else name
    given.job(spool, state, held)
    clock.advance(1)
    decided = {
        given.named(clock, job_id): Job({"command": "x", "id": job_id})
        for job_id in ("taken", "free")
    }
    files = {name: one.to_bytes() for name, one in decided.items()}
    with pytest.raises(IdTaken, match=f"'taken' already; it is {state}"):
        admission.publish(spool, files, decided, "full")
    assert len(given.everything(spool)) == 1


def test_of_many_who_enqueue_one_id_at_once_one_succeeds(spool, clock):
    refused, at_once = [], threading.Barrier(6)

    def enqueue(number):
        mine = SpoolDir.open(spool.path)
        name = given.named(clock, "one")._replace(priority=number)
        one = Job({"command": "a", "id": "one"})
        at_once.wait()
        try:
            admission.publish(mine, {name: one.to_bytes()}, {name: one}, "full")
        except IdTaken:
            refused.append(number)
        mine.close()

    threads = [threading.Thread(target=enqueue, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(refused) == 5
    assert len(given.everything(spool)) == 1
