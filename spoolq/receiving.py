"""The target's half of `forward`: jobs from a pipe into this spool, each id once.

A job keeps its id, and what it is called over there is what it is called here. All ids of a batch
are looked for and published under the lock that `enqueue --id` takes, so that two forwarders who
bring the same job at once put it here once; and who is asked again after an answer was lost says
that it is there. Nothing is answered before it would survive a power cut.

What is here already is the same job only if its command and the time of its enqueueing are equal.
Whoever may speak to this may enqueue, and no more.
"""

from __future__ import annotations

from typing import BinaryIO, Callable, Dict, List, Optional, Sequence, Tuple

from spoolq import admission, names, views, wire
from spoolq.config import Settings
from spoolq.errors import BadInput, Busy, InvalidJob, NotFound, OutcomeUnknown, SpoolqError
from spoolq.job import Job, was_forwarded
from spoolq.layout import storage_error
from spoolq.names import Name
from spoolq.spool import SpoolDir
from spoolq.wire import LATER, REFUSED, TAKEN, THERE, UNKNOWN, Answer


def converse(source: BinaryIO, sink: BinaryIO, opened: Callable[[], SpoolDir]) -> None:
    """Take in what comes until the other side closes the pipe.

    Args:
        opened: opens the spool; its refusal is told to the other side, and raised.

    Raises:
        SpoolqError: there is no such spool, or the other side is not understood.
    """
    try:
        try:
            said = wire.heard_greeting(source, "forward")
        except EOFError:
            return
        receiver = Receiver(opened())
        receiver.refuse_itself(said.get("worker"))
        _say(sink, wire.greeting("receive", spool=receiver.path))
        while True:
            lines = wire.heard_batch(source)
            if lines is None:
                return
            _say(sink, b"".join(map(wire.answer_line, receiver.take(lines))))
    except SpoolqError as error:
        _say(sink, wire.error_line(error, later=isinstance(error, Busy)))
        raise


def _say(sink: BinaryIO, data: bytes) -> None:
    sink.write(data)
    sink.flush()


class Receiver:
    """What takes batches of jobs into one spool."""

    def __init__(self, spool: SpoolDir) -> None:
        self._spool = spool
        self._settings = Settings()
        self.path = spool.path

    def refuse_itself(self, forwarder: object) -> None:
        """Refuse a forwarder that works on this very spool, by whatever path it came here.

        Raises:
            BadInput: each job would be found here already, and end as if it had gone.
        """
        if not (isinstance(forwarder, str) and names.is_worker(forwarder)):
            raise BadInput(f"{forwarder!r} is not the name of a forwarder")
        if self._spool.dir("workers").has(forwarder):
            raise BadInput(
                f"{self.path} is the spool that the jobs come from", hint="name another spool"
            )

    def take(self, lines: Sequence[bytes]) -> List[Answer]:
        """Take in a batch of jobs, each on a line; return what became of each."""
        answers: List[Optional[Answer]] = [None] * len(lines)
        jobs: Dict[int, Tuple[Name, Job]] = {}
        seen: Dict[str, int] = {}
        for at, line in enumerate(lines):
            try:
                name, job = wire.heard_job(line)
                if name.id in seen:
                    raise InvalidJob("two jobs of a batch have this id", path=("id",))
            except InvalidJob as error:
                answers[at] = Answer(REFUSED, str(error))
            else:
                seen[name.id] = at
                jobs[at] = (name, job)
        try:
            with admission.held(self._spool):
                self._take_in(jobs, answers)
        except (SpoolqError, OSError) as error:
            # Nothing was published, but what could not be looked for, or synced, may be here.
            reason = _words(error, self.path)
            answers = [answer if _is(answer, REFUSED) else None for answer in answers]
            return [answer or Answer(UNKNOWN, reason) for answer in answers]
        return [answer or Answer(UNKNOWN) for answer in answers]

    def _take_in(self, jobs: Dict[int, Tuple[Name, Job]], answers: List[Optional[Answer]]) -> None:
        """Find what is here, publish what is not; with the ids held."""
        self._settings = views.settings_of(self._spool)[0]
        places = self._spool.locate(name.id for name, _ in jobs.values())
        files: Dict[Name, bytes] = {}
        new: List[int] = []
        for at, (name, job) in jobs.items():
            if name.id in places:
                answers[at] = self._compare(name, job, places[name.id])
                continue
            try:
                files[name] = job.to_bytes()
                new.append(at)
            except InvalidJob as error:
                answers[at] = Answer(REFUSED, str(error))
        durability = self._settings.durability
        if durability != "none":
            # CRASH: who was killed between a job's publishing and its sync has left it here, and a
            # power cut could still take it; so it is synced before anybody is told that it is here
            # (test_what_is_there_already_is_synced_before_it_is_said).
            found = {places[jobs[at][0].id][0] for at in jobs if _is(answers[at], THERE)}
            for state in sorted(found):
                self._spool.dir(state).sync_moves()
        if not files:
            return
        for name in files:
            # CRASH: one who was killed while he wrote this very job has left it in tmp/; nobody
            # else writes there under this name, as the ids are held
            # (test_what_a_killed_receiver_was_writing_is_in_nobodys_way).
            self._spool.dir("tmp").discard(str(name))
        try:
            self._spool.publish(files, durability)
        except OutcomeUnknown as error:
            became = Answer(UNKNOWN, str(error))
        except SpoolqError as error:  # none of them is here
            became = Answer(LATER, _words(error, self.path))
        else:
            became = Answer(TAKEN)
        for at in new:
            answers[at] = became

    def _compare(self, name: Name, job: Job, place: Tuple[str, str]) -> Answer:
        """Say whether a job that is here is the one that is brought."""
        try:
            view = views.look(self._spool, *place, self._settings)
            view = view or views.find(self._spool, name.id)  # it has moved since
        except NotFound:
            return Answer(UNKNOWN, f"job {name.id} was there a moment ago")
        if view.job is None:
            return Answer(
                REFUSED, f"its id is taken there, by a file in {view.state}/ that is no job"
            )
        ours, theirs = view.job.fields, job.fields
        if any(ours.get(key) != theirs.get(key) for key in ("command", "created_at")):
            return Answer(REFUSED, f"its id is taken there, by another job, which is {view.state}")
        if _hops(view.job) < _hops(job):
            # RACE: it has come back to where it was forwarded from, perhaps before that is on
            # record here; if each spool said "it is there" of the other, nobody would run it
            # (test_a_job_that_comes_back_to_where_it_was_sent_from_is_refused).
            if view.name is not None and view.name.mark is not None:
                return Answer(UNKNOWN, f"job {name.id} is being forwarded from there")
            if view.state == "completed" and was_forwarded(view.last_run):
                gone_to = view.last_run["forwarded_to"]
                return Answer(REFUSED, f"it comes from there, where it was forwarded to {gone_to}")
        return Answer(THERE)


def _hops(job: Job) -> int:
    """Return how often a job was forwarded, as its history has it."""
    return sum(map(was_forwarded, job.history))


def _is(answer: Optional[Answer], kind: str) -> bool:
    return answer is not None and answer.kind == kind


def _words(error: Exception, path: str) -> str:
    return str(storage_error(error, path) if isinstance(error, OSError) else error)
