"""The judge of what was witnessed notices what it is there for, and nothing else."""

from tests.faults.hosts.consoles import Sign
from tests.faults.hosts.witness import overlaps, runs, too_many, unexplained, unseen


def lived(host, job_id, first, last, attempt=1, pid=7, ends=True):
    """Return the signs of a run from `first` to `last`."""
    signs = [Sign(first, host, "start", job_id, attempt, pid)]
    signs.append(Sign((first + last) / 2, host, "lives", job_id, attempt, pid))
    signs.append(Sign(last, host, "end" if ends else "lives", job_id, attempt, pid))
    return signs


def in_order(*signs):
    return sorted(sign for some in signs for sign in some)


def test_a_run_is_told_by_host_attempt_and_process():
    found = runs(in_order(lived("a", "j", 0, 2), lived("b", "j", 3, 4)))
    assert [(run.host, run.first, run.last, run.is_ended) for run in found["j"]] == [
        ("a", 0, 2, True),
        ("b", 3, 4, True),
    ]


def test_two_runs_one_after_the_other_do_not_overlap():
    signs = in_order(lived("a", "j", 0, 2), lived("b", "j", 2.01, 4), lived("b", "k", 1, 3))
    assert overlaps(signs) == []


def test_a_sign_of_a_run_after_another_has_started_is_an_overlap():
    signs = in_order(lived("a", "j", 0, 2.2, ends=False), lived("b", "j", 2, 4))
    assert [text.split(":")[0] for text in overlaps(signs)] == ["j ran twice at the same time"]


def test_two_runs_at_once_on_one_host_are_an_overlap_too():
    signs = in_order(lived("a", "j", 0, 2, pid=1), lived("a", "j", 1, 3, pid=2))
    assert len(overlaps(signs)) == 1


def test_a_second_run_is_explained_by_what_befell_the_first_host_alone():
    signs = in_order(lived("a", "j", 0, 2, ends=False), lived("b", "j", 20, 22, attempt=2))
    assert unexplained(signs, {"a"}) == []
    assert len(unexplained(signs, {"b"})) == len(unexplained(signs)) == 1


def test_one_harm_explains_one_more_run_and_no_other():
    signs = in_order(lived("a", "j", 0, 2, ends=False), lived("b", "j", 20, 22, attempt=2))
    assert too_many(signs, harms=1) == []
    assert [text.split(":")[0] for text in too_many(signs, harms=0)] == ["j ran 2 times"]


def test_a_completed_job_that_nobody_saw_end_is_told():
    signs = in_order(lived("a", "j", 0, 2), lived("a", "k", 0, 2, ends=False))
    assert unseen(signs, ["j", "k", "l"]) == [
        "k is completed, and never ended",
        "l is completed, and never ended",
    ]
