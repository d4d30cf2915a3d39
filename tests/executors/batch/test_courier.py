"""The courier, step by step: an engine that says what the test wants, real tickets."""

import os

import pytest

from spoolq.executors import Fate
from spoolq.executors.batch.courier import Courier, Errand, Found, Native, Over, job_name
from spoolq.executors.batch.engine import Answer, Order, Refused, Seen, Silent
from spoolq.executors.batch.tickets import State, Tickets

TICKET = "k3v9.a1.20261124T020646123456Z"
POLL = 10.0


class FakeEngine:
    """A batch system in the hands of a test."""

    def __init__(self):
        self.submitted = []
        self.cancelled = []
        self.refusal = None
        self.silence = None
        self.alive = set()
        self.ended = {}
        self.names = {}
        self.stuck = {}
        self.polls = 0
        self.on_look = lambda: None

    def submit(self, order):
        if self.refusal is not None:
            raise self.refusal
        native = str(100 + len(self.submitted))
        self.submitted.append(order)
        self.alive.add(native)
        self.names[order.name] = native
        return native

    def look(self, asked):
        self.polls += 1
        self.on_look()
        if self.silence is not None:
            raise Silent(self.silence)
        called = {native: name for name, native in self.names.items()}
        alive = {
            one: Seen(called.get(one, ""), stuck=self.stuck.get(one, "")) for one in self.alive
        }
        over = {one: Seen(called.get(one, ""), how) for one, how in self.ended.items()}
        return Answer({**alive, **over})

    def cancel(self, native, name):
        self.cancelled.append(native)

    def end(self, native, how="CA"):
        self.alive.discard(native)
        self.ended[native] = how

    def forget(self, native):
        pass

    def sweep(self, now):
        pass


def claim(spool, ticket):
    """Put the claim of a ticket where it belongs: without one a ticket is swept."""
    job_id, attempt, stamp = ticket.split(".")
    name = f"{stamp}.p5.{attempt}.{job_id}@web-1-abc.slurm_0.json"
    os.close(spool.dir("processing").create(name))


@pytest.fixture
def tickets(spool):
    claim(spool, TICKET)
    return Tickets(spool)


@pytest.fixture
def engine():
    return FakeEngine()


@pytest.fixture
def courier(engine, tickets, clock):
    return Courier(
        "slurm", engine, tickets, POLL, clock.monotonic, lambda: None, lambda: 1_764_000_000.0
    )


@pytest.fixture
def begin(courier, tickets, spool):
    """Write the ticket of a claim and give its errand to the courier."""

    def begin(ticket=TICKET, special=False):
        if ticket != TICKET:
            claim(spool, ticket)
        tickets.write(ticket, {})
        order = Order(job_name(ticket), ["python"], "/dev/null", is_special=special)
        courier.submit(Errand(ticket, order, grace=5))

    return begin


@pytest.fixture
def later(courier, clock):
    """Let time pass and the courier do what has become due; return the news."""

    def later(seconds=0.0):
        clock.advance(seconds)
        while courier.step() == 0:
            pass
        return courier.news()

    return later


def started(tickets, native="100", ticket=TICKET):
    """Start a ticket as the wrapper does; return the descriptor that holds its lock."""
    return tickets.start(ticket, {"native": native}).lock


def test_an_errand_is_submitted_and_its_end_is_heard(begin, later, engine, tickets):
    begin()
    assert later() == [Native(TICKET, "100")]
    os.close(started(tickets))
    tickets.finish(TICKET, {"exit_code": 0})
    assert later(1) == [Over(TICKET, {"exit_code": 0})]
    assert later(100) == []


def test_many_errands_are_submitted_in_their_order(begin, later, engine):
    names = [f"j{n}.a1.20261124T020646123456Z" for n in range(5)]
    for name in names:
        begin(name)
    assert [news.ticket for news in later()] == names


def test_a_batch_system_that_takes_nothing_is_tried_again(begin, later, engine, courier, tickets):
    engine.refusal = Refused("Unable to contact slurm controller")
    begin()
    assert later() == []
    assert "Unable to contact" in courier.trouble
    assert tickets.look(TICKET) is State.READY
    engine.refusal = None
    assert later(6) == [Native(TICKET, "100")]
    assert courier.trouble == ""


def test_what_is_refused_for_all_holds_the_others_up_and_ends_none(begin, later, engine, courier):
    engine.refusal = Refused("Invalid account", lasting=True)
    begin()
    assert later() == later(100) == []
    assert courier.trouble


def test_what_a_job_alone_asks_for_and_cannot_get_ends_it(begin, later, engine, courier, tickets):
    engine.refusal = Refused("Requested node configuration is not available", lasting=True)
    begin(special=True)
    (over,) = later()
    assert "Requested node configuration" in over.facts["error"]
    assert tickets.look(TICKET) is State.VOID
    assert courier.trouble == ""


def test_silence_ends_no_run(begin, later, engine, courier):
    begin()
    later()
    engine.silence = "slurm_load_jobs error"
    assert later(POLL) == later(POLL) == later(1000) == []
    assert "slurm_load_jobs" in courier.trouble
    engine.silence = None
    assert later(POLL) == []
    assert courier.trouble == ""


def test_silence_is_over_though_nothing_was_asked_for(later, engine, courier, begin, tickets):
    engine.silence = "down"
    begin()
    later()
    later(POLL)
    os.close(started(tickets))
    tickets.finish(TICKET, {"exit_code": 0})
    later(1)
    assert courier.trouble
    engine.silence = None
    later(POLL)
    assert courier.trouble == ""


def test_a_job_that_ended_before_it_began_is_over_and_never_starts(begin, later, engine, tickets):
    begin()
    later()
    engine.end("100", "F")
    (over,) = later(POLL)
    assert "before it began" in over.facts["error"]
    assert "-o python=" in over.facts["error"]
    assert tickets.start(TICKET, {}) is None


def test_why_a_job_ended_before_it_began_is_told(begin, later, engine, tickets):
    begin()
    later()
    tickets._dir.write(f"{TICKET}.stderr", b"No module named spoolq\n\n", sync=False)
    engine.end("100", "F")
    assert later(POLL)[0].facts["error"].endswith("No module named spoolq")


def test_a_job_that_is_gone_without_a_word_is_over_when_nothing_holds_its_ticket(
    begin, later, engine, tickets
):
    begin()
    later()
    lock = started(tickets)
    engine.end("100", "NF")
    assert later(POLL) == later(POLL) == []
    os.close(lock)
    (over,) = later(POLL)
    assert "without a word" in over.facts["error"]


def test_an_end_that_comes_with_the_last_breath_is_heard(begin, later, engine, tickets):
    begin()
    later()
    lock = started(tickets)

    def last_breath():
        if tickets.look(TICKET) is State.STARTED:
            tickets.finish(TICKET, {"exit_code": 7})
            os.close(lock)

    engine.end("100", "CA")
    engine.on_look = last_breath
    assert later(POLL) == []
    assert later(1) == [Over(TICKET, {"exit_code": 7})]


def test_a_job_that_is_not_known_is_over_at_the_second_poll_alone(begin, later, engine, tickets):
    begin()
    later()
    os.close(started(tickets))
    engine.alive.clear()
    assert later(POLL) == []
    engine.alive.add("100")  # the first answer was one too early
    assert later(POLL) == []
    engine.alive.clear()
    assert later(POLL) == []
    assert len(later(POLL)) == 1


def test_a_job_that_is_forgotten_before_it_began_is_submitted_anew_twice(
    begin, later, engine, tickets
):
    begin()
    later()
    for native in ("101", "102"):
        engine.alive.clear()
        later(POLL)
        assert later(POLL + 1) + later(1) == [Native(TICKET, native)]
    engine.alive.clear()
    later(POLL)
    (over,) = later(POLL)
    assert "before it began" in over.facts["error"]
    assert tickets.look(TICKET) is State.VOID


def test_a_job_whose_id_belongs_to_another_job_by_now_is_forgotten(begin, later, engine, tickets):
    """A controller of Slurm's that was killed counts anew from its last saved state."""
    begin()
    later()
    engine.names = {"spoolq.other": "100"}
    later(POLL)
    assert later(POLL + 1) + later(1) == [Native(TICKET, "101")]


def test_a_ticket_runs_once_though_it_is_submitted_twice(begin, later, engine, tickets):
    begin()
    later()
    lock = started(tickets, native="99")  # a job whose submit seemed to have failed
    engine.alive.add("99")
    engine.end("100", "CD")
    assert later(POLL) == [Native(TICKET, "99")]
    assert later(POLL) == []
    tickets.finish(TICKET, {"exit_code": 0})
    os.close(lock)
    assert later(1) == [Over(TICKET, {"exit_code": 0})]


def test_a_job_that_may_wait_for_ever_is_told_of_once(begin, later, engine, caplog):
    begin()
    later()
    engine.stuck["100"] = "PartitionConfig"
    later(POLL)
    later(POLL)
    assert caplog.text.count("PartitionConfig") == 1


def test_a_cancelled_job_that_waits_there_is_over_at_once(begin, later, engine, courier, tickets):
    begin()
    later()
    courier.cancel(TICKET, "cancelled")
    assert later() == [Over(TICKET, {"error": "cancelled"})]
    assert engine.cancelled == ["100"]
    assert tickets.start(TICKET, {}) is None


def test_a_cancelled_errand_is_not_submitted_any_more(begin, later, engine, courier):
    engine.refusal = Refused("contact")
    begin()
    later()
    courier.cancel(TICKET, "interrupted")
    assert later() == [Over(TICKET, {"error": "interrupted"})]
    engine.refusal = None
    assert later(100) == []
    assert engine.submitted == []


def test_a_cancelled_run_is_asked_to_end_and_cancelled_there_if_it_does_not(
    begin, later, engine, courier, tickets
):
    begin()
    later()
    lock = started(tickets)
    courier.cancel(TICKET, "cancelled")
    courier.cancel(TICKET, "interrupted")
    assert later(1) == []
    assert tickets.asked_to_end(TICKET) == "cancelled"
    assert engine.cancelled == []
    assert later(60) == []
    assert engine.cancelled == ["100"]
    os.close(lock)
    engine.end("100")
    assert later(POLL) == [Over(TICKET, {"error": "cancelled"})]


def test_what_has_ended_by_itself_is_not_cancelled(begin, later, courier, tickets):
    begin()
    later()
    os.close(started(tickets))
    tickets.finish(TICKET, {"exit_code": 0})
    courier.cancel(TICKET, "cancelled")
    assert later(1) == [Over(TICKET, {"exit_code": 0})]


# --- the runs of dead workers ---------------------------------------------------------------------


@pytest.fixture
def fate(courier, later):
    def fate(native=""):
        courier.ask(TICKET, native)
        (found,) = [news for news in later(1) if isinstance(news, Found)]
        return found

    return fate


def test_a_dead_workers_job_that_waits_is_alive(fate, tickets, engine):
    tickets.write(TICKET, {})
    engine.alive.add("100")
    assert fate("100") == Found(TICKET, Fate.ALIVE, "100")
    assert tickets.look(TICKET) is State.READY


def test_a_dead_workers_job_whose_id_was_not_noted_is_found_by_its_name(fate, tickets, engine):
    tickets.write(TICKET, {})
    engine.alive.add("100")
    engine.names[job_name(TICKET)] = "100"
    assert fate() == Found(TICKET, Fate.ALIVE, "100")


def test_a_dead_workers_job_that_ended_is_alive_so_that_its_end_is_told(fate, tickets):
    tickets.write(TICKET, {})
    os.close(started(tickets))
    tickets.finish(TICKET, {"exit_code": 0})
    assert fate("100").fate is Fate.ALIVE


def test_a_dead_workers_job_that_is_nowhere_is_over_and_never_starts(fate, tickets):
    tickets.write(TICKET, {})
    assert fate("100").fate is Fate.OVER
    assert tickets.start(TICKET, {}) is None
    assert fate("100").fate is Fate.OVER


def test_a_job_that_is_submitted_after_its_workers_death_never_runs(fate, tickets, engine):
    tickets.write(TICKET, {})
    assert fate().fate is Fate.OVER
    engine.alive.add("100")  # sbatch was still on its way
    engine.names[job_name(TICKET)] = "100"
    assert fate().fate is Fate.OVER
    assert tickets.start(TICKET, {}) is None


def test_a_claim_whose_ticket_was_never_written_is_over(fate):
    assert fate().fate is Fate.OVER


def test_a_dead_workers_run_that_is_gone_without_a_word_is_over_when_nothing_holds_it(
    fate, tickets, engine
):
    tickets.write(TICKET, {})
    lock = started(tickets)
    engine.alive.add("100")
    assert fate("100").fate is Fate.ALIVE
    engine.end("100", "NF")
    assert fate("100").fate is Fate.ALIVE
    os.close(lock)
    assert fate("100").fate is Fate.OVER


def test_nothing_is_said_of_dead_workers_runs_while_the_batch_system_is_silent(
    courier, later, tickets, engine
):
    tickets.write(TICKET, {})
    engine.silence = "down"
    courier.ask(TICKET, "100")
    assert later(POLL) == later(POLL) == []
    assert tickets.look(TICKET) is State.READY
    engine.silence = None
    engine.alive.add("100")
    assert later(POLL) == [Found(TICKET, Fate.ALIVE, "100")]


def test_a_step_that_breaks_ends_no_thread(courier, engine, tickets, begin, caplog):
    engine.refusal = RuntimeError("a bug of PSI/J's")
    begin()
    courier.start()
    try:
        while "a bug of PSI/J's" not in caplog.text:
            assert courier._thread.is_alive()
        assert courier._thread.is_alive()
    finally:
        courier.close()
