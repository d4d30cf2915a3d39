"""What each key does, on scenes that are made up."""

import pytest

from spoolq.cli.watch import errands
from spoolq.cli.watch.desk import Desk
from tests.cli.watch.made_up import NOW, scene


class Recorder:
    """Takes what is to be done, and does nothing."""

    def __init__(self):
        self.asked = []
        self.is_busy = False

    def run(self, act):
        if not self.is_busy:
            self.asked.append(act)
        return not self.is_busy


@pytest.fixture
def errand(monkeypatch):
    monkeypatch.setattr(errands, "retry", lambda job_id: ("retry", job_id))
    monkeypatch.setattr(errands, "cancel", lambda job_id: ("cancel", job_id))
    return Recorder()


@pytest.fixture
def desk(errand):
    desk = Desk(errand)
    desk.take(scene((2, 2, 1, 1, 1)))
    return desk


def press(desk, *keys):
    for key in keys:
        desk.press(key)
    return desk


def last(desk, columns=100):
    return desk.draw(columns, 30, NOW)[-1].plain.rstrip()


def test_nothing_is_chosen_before_a_key_is_pressed(desk):
    assert desk.selected is None
    assert "choose a job first" in last(press(desk, "r"))


@pytest.mark.parametrize(
    ("keys", "chosen"),
    [
        (["down"], "runn0"),
        (["j", "j", "j"], "next0"),
        (["down", "down", "up"], "runn0"),
        (["k"], "comp0"),
        (["end"], "comp0"),
        (["G", "g"], "runn0"),
        (["down", "up", "up"], "runn0"),
        (["end", "down"], "comp0"),
        (["page down", "page down"], "next0"),
        (["down", "page down", "page down", "page down", "page up"], "retr0"),
        (["end", "page up", "page up", "page up", "page up", "page up"], "runn0"),
    ],
)
def test_the_choice_moves(desk, keys, chosen):
    assert press(desk, *keys).selected == chosen


def test_the_choice_stays_with_its_job_and_then_with_its_place(desk):
    press(desk, "down", "down")
    desk.take(scene((3, 2, 1, 1, 1)))
    assert desk.selected == "runn1"
    desk.take(scene((1, 2, 1, 1, 1)))
    assert desk.selected == "next0"
    desk.take(scene((0, 0, 0, 0, 0)))
    assert desk.selected is None
    assert last(press(desk, "l")) == "no job"


@pytest.mark.parametrize("wanted", ["retr0", "dead0"])
def test_r_retries_what_failed_or_died(desk, errand, wanted):
    desk.selected = wanted
    desk.take(desk.scene)
    press(desk, "r")
    assert errand.asked == [("retry", wanted)]
    assert last(desk) == f"{wanted}: being retried"


@pytest.mark.parametrize("wanted", ["runn0", "next0", "comp0"])
def test_r_refuses_what_did_not_fail(desk, errand, wanted):
    desk.selected = wanted
    assert "failed and dead jobs can be retried" in last(press(desk, "r"))
    assert errand.asked == []


def test_c_cancels_after_a_y_alone(desk, errand):
    press(desk, "down", "c")
    assert last(desk) == "cancel runn0? y or n"
    press(desk, "q")
    assert (errand.asked, desk.leaving) == ([], False)
    assert last(desk) == "nothing was cancelled"
    press(desk, "c", "y")
    assert errand.asked == [("cancel", "runn0")]


def test_the_job_that_was_asked_about_is_cancelled_though_the_choice_has_moved(desk, errand):
    press(desk, "down", "c")
    desk.take(scene((0, 2, 1, 1, 1)))
    press(desk, "y")
    assert errand.asked == [("cancel", "runn0")]


def test_c_refuses_what_has_ended(desk, errand):
    desk.selected = "comp0"
    assert "has ended" in last(press(desk, "c"))
    press(desk, "y")
    assert errand.asked == []


def test_p_pauses_and_says_resume_when_it_is(desk, errand):
    press(desk, "p")
    assert errand.asked == [errands.pause_or_resume]
    desk.take(scene((1, 0, 0, 0, 0), paused=True))
    assert "p resume" in last(press(desk, "x"))


def test_one_thing_is_done_at_a_time(desk, errand):
    errand.is_busy = True
    assert "not done yet" in last(press(desk, "p"))


def test_a_filter_is_typed_seen_and_ended(desk):
    press(desk, "/", "a", "q", "é")
    assert (desk.sought, desk.asks_for_a_look, desk.leaving) == ("aqé", True, False)
    assert last(desk) == "/aqé"
    press(desk, "backspace", "enter")
    assert desk.sought == "aq"
    assert last(desk) != "/aq"
    press(desk, "/", "x", "escape")
    assert desk.sought == "aq"
    press(desk, "escape")
    assert desk.sought == ""
    press(desk, "/", "x", "erase", "enter")
    assert desk.sought == ""


def test_a_filter_has_an_end(desk):
    press(desk, "/", *"x" * 500)
    assert len(desk.sought) == 100


def test_help_names_the_keys_and_any_key_comes_back(desk):
    press(desk, "?")
    page = "\n".join(line.plain for line in desk.draw(100, 30, NOW))
    for word in ("follow", "retr", "cancel", "pause", "filter", "leave"):
        assert word in page
    press(desk, "q")
    assert not desk.leaving
    press(desk, "q")
    assert desk.leaving


def test_a_note_stays_until_the_next_key(desk):
    desk.tell("x\x1b: done")
    assert last(desk) == "x\\x1b: done"
    desk.take(desk.scene)
    assert last(desk) == "x\\x1b: done"
    assert "quit" in last(press(desk, "down"))


def test_a_problem_is_all_there_is_and_q_leaves(desk, errand):
    desk.problem = "the spool is gone"
    page = [line.plain for line in desk.draw(40, 5, NOW)]
    assert page == ["spoolq watch", "", "the spool is gone", "", "q quit"]
    press(desk, "r", "p", "/")
    assert errand.asked == []
    press(desk, "q")
    assert desk.leaving


def test_keys_before_the_first_look_do_no_harm(errand):
    desk = Desk(errand)
    for key in ("down", "up", "page down", "enter", "r", "c", "y", "end", "?", "x", "/", "escape"):
        press(desk, key)
        desk.draw(20, 5, NOW)


@pytest.mark.parametrize(
    ("numbers", "seconds"),
    [((1, 0, 0, 0, 0), 1.0), ((0, 0, 0, 0, 0), None), ((0, 1, 0, 0, 0), None)],
)
def test_a_clock_is_wanted_only_where_something_moves(errand, numbers, seconds):
    desk = Desk(errand)
    given = scene(numbers)
    desk.take(given._replace(rate=given.rate._replace(completed=(0,) * 60, dead=(0,) * 60)))
    desk.draw(100, 30, NOW)
    assert desk.next_change(NOW) == seconds


def test_what_was_said_and_asked_goes_with_its_spool(desk, errand):
    press(desk, "p", "down", "c")
    desk.turn_to(None)
    desk.take(scene((2, 2, 1, 1, 1)))
    assert "quit" in last(desk)
    press(desk, "y")
    assert errand.asked == [errands.pause_or_resume]
    desk.tell("workers go on")
    desk.turn_to(None)
    assert "workers go on" not in last(desk)
