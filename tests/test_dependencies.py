"""Jobs that wait for others: what is made, what is refused, and when they are let go."""

import os
import shutil

import pytest

from spoolq import admission, changing, control, dependencies, lease, names, views
from spoolq import releasing as releasing_module
from spoolq.api import Spool
from spoolq.chores import Beside
from spoolq.config import Settings
from spoolq.dependencies import Wait
from spoolq.errors import InvalidJob
from spoolq.names import AFTER
from spoolq.releasing import Releasing
from spoolq.spool import Record, SpoolDir
from tests import given
from tests.conftest import entries, wait_until
from tests.given import job, named

SETTINGS = Settings()


@pytest.fixture
def api(spool):
    with Spool(spool.path) as opened:
        yield opened


@pytest.fixture
def releasing(spool, clock):
    """What a worker does about jobs that wait, by its own second."""
    spool.root.make_dir("after")
    own = lease.Lease.start(spool, {"count": 1})
    yield Releasing(Beside(spool, own, given.Bell(), clock, clock.monotonic))
    own.leave()


def open_files(spool):
    path = os.path.join(spool.path, "after")
    return sorted(os.listdir(path)) if os.path.isdir(path) else []


def state(spool, job_id):
    view = views.find(spool, job_id)
    return "waits" if view.name.stamp == AFTER else view.state


def end(spool, clock, job_id, state="completed"):
    """Let a job end by another hand than the worker's: as `mv` does it."""
    view = views.find(spool, job_id)
    name = view.name.waiting(attempt=1)
    job(spool, state, name, **{k: v for k, v in view.job.fields.items() if k != "command"})
    spool.dir(view.state).unlink(view.filename)
    clock.advance(60)


# --- the files ------------------------------------------------------------------------------------


def test_a_job_that_waits_has_a_time_that_never_comes_and_a_file_for_each_it_waits_for(spool, api):
    for job_id in ("a", "b"):
        api.enqueue("true", id=job_id)
    api.enqueue("true", id="c", after=["a"], after_any=["b"])
    assert state(spool, "c") == "waits"
    assert open_files(spool) == ["c.after-any.b", "c.after.a"]
    assert views.find(spool, "c").as_dict()["held"] is True


@pytest.mark.parametrize("name", ["c.after.a", "c-d.after-any._a"])
def test_the_name_of_a_file_says_who_waits_for_whom(name):
    assert str(dependencies.parse(name)) == name


@pytest.mark.parametrize(
    "name", ["c", "c.after", "c.since.a", "c.after.a.b", "..after.a", "-.after.a"]
)
def test_other_names_in_that_place_say_nothing(name):
    assert dependencies.parse(name) is None


def test_what_is_met_already_is_not_waited_for(spool, api, clock):
    job(spool, "completed", named(clock, "a", attempt=1))
    job(spool, "dead", named(clock, "b", attempt=4))
    api.enqueue("true", id="c", after=["a"], after_any=["b"])
    assert (state(spool, "c"), open_files(spool)) == ("pending", [])


# --- what is refused ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fields, why",
    [
        ({"after": ["nobody"]}, "there is no job 'nobody'"),
        ({"after_any": ["nobody"]}, "there is no job 'nobody'"),
        ({"after": ["gone"]}, "job gone is dead"),
        ({"id": "x", "after": ["x"]}, "cannot wait for itself"),
        ({"after": []}, "list of 1 to 100 ids"),
        ({"after": "a"}, "list of 1 to 100 ids"),
        ({"after": ["a", "a"]}, "named twice"),
        ({"after": ["../a"]}, "is no id"),
        ({"after": ["last"]}, "is no id"),
    ],
)
def test_what_cannot_come_about_is_refused_and_nothing_is_left(spool, api, clock, fields, why):
    job(spool, "pending", named(clock, "a"))
    job(spool, "dead", named(clock, "gone"))
    before = entries(spool, "pending")
    with pytest.raises(InvalidJob, match=why):
        api.enqueue("true", **fields)
    assert (entries(spool, "pending"), open_files(spool)) == (before, [])


@pytest.mark.parametrize("circle", [["b", "a"], ["c", "a", "b"]])
def test_jobs_of_a_batch_that_wait_for_each_other_in_a_circle_are_refused(spool, api, circle):
    jobs = [
        {"id": job_id, "command": "true", "after": [other]}
        for job_id, other in zip(sorted(circle), circle)
    ]
    with pytest.raises(InvalidJob, match="wait for each other"):
        api.enqueue_many([*jobs, "true"])
    assert (entries(spool, "pending"), open_files(spool)) == ([], [])


def test_jobs_of_a_batch_may_wait_for_each_other_in_any_order(spool, api):
    api.enqueue_many(
        [
            {"id": "c", "command": "true", "after": ["b", "a"]},
            {"id": "b", "command": "true", "after": ["a"]},
            {"id": "a", "command": "true"},
        ]
    )
    assert [state(spool, job_id) for job_id in "abc"] == ["pending", "waits", "waits"]


def test_a_chain_of_a_batch_may_be_long():
    waits = [Wait(f"j{n + 1}", True, f"j{n}") for n in range(5000)]
    dependencies.refuse_circles(waits)
    with pytest.raises(InvalidJob):
        dependencies.refuse_circles([*waits, Wait("j0", True, "j5000")])


# --- let go, or ended -----------------------------------------------------------------------------


def test_a_job_is_let_go_when_the_last_that_it_waits_for_has_come_about(
    spool, api, clock, releasing
):
    for job_id in ("a", "b"):
        api.enqueue("true", id=job_id)
    api.enqueue("true", id="c", after=["a", "b"])
    end(spool, clock, "a")
    assert releasing.look(SETTINGS) is False
    assert (state(spool, "c"), open_files(spool)) == ("waits", ["c.after.b"])
    end(spool, clock, "b")
    releasing.look(SETTINGS)
    assert (views.find(spool, "c").name.at, open_files(spool)) == (clock(), [])


def test_a_job_that_was_to_run_at_a_time_is_let_go_for_that_time(spool, api, clock, releasing):
    api.enqueue("true", id="a")
    api.enqueue("true", id="c", after=["a"], run_at="2026-12-24T18:00:00Z")
    end(spool, clock, "a")
    releasing.look(SETTINGS)
    assert str(views.find(spool, "c").name).startswith("20261224T180000")


def test_what_a_worker_ends_itself_lets_go_at_once(spool, api, clock, releasing):
    api.enqueue("true", id="a")
    api.enqueue("true", id="c", after=["a"])
    releasing.look(SETTINGS)
    name = views.find(spool, "a").name
    record = Record(name, b"", "completed", name.stamp, 1)
    assert releasing.moved(record._replace(state="failed"), name, SETTINGS) is False
    assert state(spool, "c") == "waits"
    assert releasing.moved(record, name, SETTINGS) is True
    assert releasing._beside.bell.names == [views.find(spool, "c").filename]
    assert state(spool, "c") == "pending"


@pytest.mark.parametrize("how", ["dead", "gone"])
def test_a_prerequisite_that_dies_takes_those_along_that_wait_for_its_success(
    spool, api, clock, releasing, how
):
    api.enqueue("true", id="a")
    api.enqueue("true", id="b", after=["a"])
    api.enqueue("true", id="c", after=["b"])
    api.enqueue("true", id="d", after_any=["c"])
    if how == "dead":
        end(spool, clock, "a", "dead")
    else:
        spool.dir("pending").unlink(views.find(spool, "a").filename)
    releasing.look(SETTINGS)
    assert [state(spool, job_id) for job_id in "bcd"] == ["dead", "dead", "pending"]
    assert views.find(spool, "b").error == f"a, which it waited for, is {how}"
    assert views.find(spool, "c").error == "b, which it waited for, is dead"
    assert views.find(spool, "c").attempts == 0
    assert open_files(spool) == []


def test_many_that_end_with_one_are_ended_a_few_at_a_time(spool, api, clock, monkeypatch):
    """Found by a chain of 2,000, which kept the worker from its runs for 13 s."""
    api.enqueue("true", id="j0")
    api.enqueue_many(
        [{"command": "true", "id": f"j{n}", "after": [f"j{n - 1}"]} for n in range(1, 31)]
    )
    end(spool, clock, "j0", "dead")
    now, looks = [0.0], []

    def monotonic():
        now[0] += releasing_module._AT_ONCE / 8
        return now[0]

    still_open = dependencies.still_open
    monkeypatch.setattr(
        dependencies, "still_open", lambda *args: looks.append(1) or still_open(*args)
    )
    own = lease.Lease.start(spool, {"count": 1})
    chore = Releasing(Beside(spool, own, given.Bell(), clock, monotonic))
    ended = [1]
    while ended[-1] < 31:
        chore.look(SETTINGS)
        ended.append(len(entries(spool, "dead")))
    assert max(after - before for before, after in zip(ended, ended[1:])) <= 9
    assert looks == [1]
    assert open_files(spool) == []
    own.leave()


def test_a_file_that_is_removed_is_waited_for_no_more(spool, api, clock, releasing):
    api.enqueue("true", id="a")
    api.enqueue("true", id="c", after=["a"])
    releasing.look(SETTINGS)
    os.unlink(os.path.join(spool.path, "after", "c.after.a"))
    clock.advance(60)
    releasing.look(SETTINGS)
    assert state(spool, "c") == "pending"


def test_who_dies_between_the_last_file_and_the_job_leaves_it_to_others(
    spool, api, clock, releasing
):
    api.enqueue("true", id="a")
    api.enqueue("true", id="c", after=["a"])
    end(spool, clock, "a")
    dependencies.end(spool, Wait("c", True, "a"))  # and no more of it
    releasing.look(SETTINGS)
    assert state(spool, "c") == "pending"


def test_a_release_lets_it_go_whatever_it_waits_for(spool, api, clock, releasing):
    api.enqueue("true", id="a")
    api.enqueue("true", id="c", after=["a"])
    changing.release(spool, "c", clock)
    assert state(spool, "c") == "pending"
    releasing.look(SETTINGS)
    assert open_files(spool) == []


def test_a_job_that_is_held_besides_waits_again_when_it_is_released(spool, api, clock, releasing):
    api.enqueue("true", id="a")
    api.enqueue("true", id="b")
    api.enqueue("true", id="c", after=["a", "b"])
    changing.hold(spool, "c")
    end(spool, clock, "a")
    assert releasing.look(SETTINGS) is False
    assert open_files(spool) == ["c.after.b"]
    assert changing.release(spool, "c", clock).name.stamp == AFTER
    changing.hold(spool, "c")
    end(spool, clock, "b")
    releasing.look(SETTINGS)
    assert names.is_held(views.find(spool, "c").name.stamp)
    assert changing.release(spool, "c", clock).name.at == clock()


def test_a_job_that_was_changed_while_it_was_held_is_let_go_like_any_other(
    spool, api, clock, releasing
):
    api.enqueue("true", id="a")
    api.enqueue("true", id="b", after=["a"])
    changing.hold(spool, "b")
    held = views.find(spool, "b")
    changing.rewrite(spool, held, {**changing.shown(held), "timeout": 5})
    assert changing.release(spool, "b", clock).name.stamp == AFTER
    end(spool, clock, "a")
    releasing.look(SETTINGS)
    assert views.find(spool, "b").name.at == clock()


def test_a_directory_in_the_place_of_a_file_holds_up_nothing(spool, api, clock, releasing):
    api.enqueue("true", id="a")
    api.enqueue("true", id="b", after=["a"])
    place = spool.dir("after")
    for stray in ("nobody.after.a", "a.after.nobody"):
        place.make_dir(stray)
    place.unlink("b.after.a")
    place.make_dir("b.after.a")
    end(spool, clock, "a")
    releasing.look(SETTINGS)
    assert (state(spool, "b"), open_files(spool)) == ("pending", [])


def test_a_dead_job_that_is_retried_waits_for_what_is_there_again(spool, api, clock, releasing):
    api.enqueue("true", id="a")
    api.enqueue("true", id="x")
    api.enqueue("true", id="b", after=["a", "x"])
    end(spool, clock, "x")
    spool.dir("completed").unlink(views.find(spool, "x").filename)
    dependencies.end(spool, Wait("b", True, "x"))
    end(spool, clock, "a", "dead")
    releasing.look(SETTINGS)
    with pytest.raises(InvalidJob, match="job a is dead"):
        control.retry(spool, "b")
    control.retry(spool, "a")
    control.retry(spool, "b")
    assert (state(spool, "b"), open_files(spool)) == ("waits", ["b.after.a"])


def test_what_waits_can_be_edited_and_goes_on_to_wait(spool, api):
    api.enqueue("true", id="a")
    api.enqueue("true", id="c", after=["a"])
    view = views.find(spool, "c")
    fields = changing.shown(view)
    assert not {"after", "run_at"} & fields.keys()
    changing.rewrite(spool, view, {**fields, "command": "false", "run_at": "2026-12-24T18:00:00Z"})
    after = views.find(spool, "c")
    assert (after.job.command, after.name.stamp) == ("false", AFTER)
    assert after.job.fields["after"] == ["a"]


# --- races and crashes ----------------------------------------------------------------------------


def test_a_batch_that_is_being_published_is_not_settled(spool, api, clock, releasing, monkeypatch):
    """A look between the first job of a batch and the second, which it waits for."""
    looks = []
    real = SpoolDir.publish

    def slow(self, files, durability="full"):
        for name, data in sorted(files.items(), key=lambda item: item[0].id, reverse=True):
            real(self, {name: data}, durability)
            clock.advance(60)
            looks.append(releasing.look(SETTINGS))

    monkeypatch.setattr(SpoolDir, "publish", slow)
    api.enqueue_many(
        [{"id": "b", "command": "true", "after": ["a"]}, {"id": "a", "command": "true"}]
    )
    assert looks == [False, False]
    clock.advance(60)
    releasing.look(SETTINGS)
    assert [state(spool, job_id) for job_id in "ab"] == ["pending", "waits"]


def test_a_job_whose_files_are_being_made_is_not_let_go(spool, api, clock, releasing, monkeypatch):
    real = dependencies.begin

    def slow(place, waits, durability):
        for wait in [*waits]:
            real(place, [wait], durability)
            clock.advance(60)
            releasing.look(SETTINGS)
            assert str(wait) in open_files(spool)

    for job_id in "ab":
        api.enqueue("true", id=job_id)
    monkeypatch.setattr(dependencies, "begin", slow)
    api.enqueue("true", id="c", after=["a", "b"])
    clock.advance(60)
    releasing.look(SETTINGS)
    assert (state(spool, "c"), open_files(spool)) == ("waits", ["c.after.a", "c.after.b"])


def test_what_a_killed_enqueue_left_is_swept(spool, api, clock, releasing):
    api.enqueue("true", id="a")
    dependencies.begin(spool, [Wait("never", True, "a")], "full")
    releasing.look(SETTINGS)
    assert open_files(spool) == []


def test_a_job_that_is_being_changed_keeps_what_it_waits_for(spool, api, clock, releasing):
    api.enqueue("true", id="a")
    api.enqueue("true", id="c", after=["a"])
    view = views.find(spool, "c")
    own = lease.Lease.start(spool, {"count": 0})
    claim = spool.claim_to_change("pending", view.filename, view.name, own.name)
    clock.advance(60)
    releasing.look(SETTINGS)
    assert open_files(spool) == ["c.after.a"]
    spool.give_back(claim, view.name)
    own.leave()


@pytest.mark.parametrize("where", ["on its way", "being changed"])
def test_the_files_of_a_job_that_could_not_be_ended_stay(spool, api, clock, releasing, where):
    """Found by the model: without them it would be let go, though what it waits for is dead."""
    for job_id in ("a", "b"):
        api.enqueue("true", id=job_id)
    api.enqueue("true", id="c", after=["a", "b"])
    end(spool, clock, "b", "dead")
    view = views.find(spool, "c")
    aside = os.path.join(spool.path, "processing" if where == "being changed" else "tmp", "c.json")
    own = lease.Lease.start(spool, {"count": 0})
    if where == "being changed":
        claim = spool.claim_to_change("pending", view.filename, view.name, own.name)
        aside = os.path.join(spool.path, "processing", str(claim))
    else:
        os.rename(view.path, aside)
    with admission.held(spool):
        releasing.look(SETTINGS)
        assert open_files(spool) == ["c.after.a", "c.after.b"]
        os.rename(aside, view.path)
    clock.advance(60)
    releasing.look(SETTINGS)
    assert (state(spool, "c"), open_files(spool)) == ("dead", [])
    own.leave()


@pytest.mark.parametrize("where", ["on its way", "being changed"])
def test_what_comes_about_before_a_job_is_in_pending_lets_it_go_then(
    spool, api, clock, releasing, where
):
    """However long that takes: nothing else need ever change in the spool after it."""
    api.enqueue("true", id="a")
    api.enqueue("true", id="c", after=["a"])
    view = views.find(spool, "c")
    own = lease.Lease.start(spool, {"count": 0})
    if where == "being changed":
        claim = spool.claim_to_change("pending", view.filename, view.name, own.name)
        aside = os.path.join(spool.path, "processing", str(claim))
    else:
        aside = os.path.join(spool.path, "tmp", "c.json")
        os.rename(view.path, aside)
    end(spool, clock, "a")
    with admission.held(spool):
        for _ in range(3):
            clock.advance(60)
            releasing.look(SETTINGS)
        os.rename(aside, view.path)
    clock.advance(60)
    releasing.look(SETTINGS)
    assert (state(spool, "c"), open_files(spool)) == ("pending", [])
    own.leave()


def test_one_that_is_no_job_any_more_keeps_no_other_waiting(spool, api, clock, releasing):
    """It is let go, and whoever claims it says what is wrong with it."""
    api.enqueue("true", id="a")
    for job_id in "bcd":
        api.enqueue("true", id=job_id, after=["a"])
    with open(views.find(spool, "c").path, "w") as file:
        file.write('{"command": ')
    end(spool, clock, "a", "dead")
    releasing.look(SETTINGS)
    assert [state(spool, job_id) for job_id in "bcd"] == ["dead", "pending", "dead"]
    assert open_files(spool) == []


def test_what_is_held_is_found_without_a_look_through_the_spool_for_each(
    spool, api, clock, releasing, monkeypatch
):
    api.enqueue("true", id="a")
    held = [f"h{number}" for number in range(20)]
    for job_id in held:
        api.enqueue("true", id=job_id, after=["a"])
        changing.hold(spool, job_id)
    end(spool, clock, "a")
    looks = []
    real = SpoolDir.locate
    monkeypatch.setattr(
        SpoolDir, "locate", lambda self, wanted: looks.append(1) or real(self, wanted)
    )
    releasing.look(SETTINGS)
    assert (open_files(spool), len(looks)) == ([], 1)


# --- as people and programs meet it ---------------------------------------------------------------


def test_a_chain_runs_in_its_order_by_several_workers(spool, run_cli, start_worker, tmp_path):
    told = tmp_path / "told"
    jobs = [{"id": "j0", "command": f"echo 0 >> {told}"}]
    for number in range(1, 12):
        jobs.append({"id": f"j{number}", "command": f"echo {number} >> {told}"})
        jobs[-1]["after"] = [f"j{number - 1}"]
    with Spool(spool.path) as api:
        api.enqueue_many(jobs)
        for _ in range(3):
            start_worker("--count", "2")
        api.wait(["j11"], timeout=60)
    assert told.read_text().split() == [str(number) for number in range(12)]
    wait_until(lambda: open_files(spool) == [])


def test_a_worker_that_drains_runs_what_waits_for_what_it_runs(spool, run_cli):
    first = run_cli("enqueue", "--after-any", run_cli("enqueue", "true").stdout.strip(), "true")
    run_cli("enqueue", "--after", first.stdout.strip(), "true")
    run_cli("worker", "start", "--drain")
    assert [len(entries(spool, place)) for place in ("pending", "completed")] == [0, 3]


def test_waits_that_were_removed_with_their_directory_are_mended_by_doctor(spool, run_cli):
    run_cli("enqueue", "--id", "a", "--hold", "true")
    run_cli("enqueue", "--id", "b", "--after", "a", "echo b")
    shutil.rmtree(os.path.join(spool.path, "after"))
    run_cli("worker", "start", "--drain")
    assert sorted(map(names.id_in, entries(spool, "pending"))) == ["a", "b"]
    run_cli("doctor", "--repair", check=False)
    run_cli("worker", "start", "--drain")
    assert run_cli("logs", "b").stdout == "b\n"


def test_wait_is_not_done_while_something_is_about_to_be_let_go(spool, run_cli, start_worker):
    first = run_cli("enqueue", "true").stdout.strip()
    run_cli("enqueue", "--after", first, "--id", "second", "true")
    start_worker("--count", "1")
    run_cli("wait")
    assert views.find(spool, "second").state == "completed"


def test_show_draws_what_a_job_waits_for_and_what_waits_for_it(spool, run_cli):
    run_cli("enqueue", "--id", "load", "true")
    run_cli("enqueue", "--id", "clean", "--after", "load", "true")
    run_cli("enqueue", "--id", "report", "--after", "clean", "--after-any", "load", "true")
    told = run_cli("show", "clean").stdout
    assert "after     load  pending" in told
    assert "then      report  pending" in told
    told = run_cli("show", "report").stdout
    assert "load  pending, however it ends" in told
    assert "spoolq release report" in told


def test_a_drop_waits_for_what_it_names_and_for_a_while_for_that_to_be_dropped(
    spool, run_cli, start_worker
):
    pending = os.path.join(spool.path, "pending")
    run_cli("config", "set", "settle", "1")
    start_worker("--count", "1")

    def drop(name, text):
        made = os.path.join(spool.path, "tmp", name)
        with open(made, "w", encoding="ascii") as file:
            file.write(text)
        os.rename(made, os.path.join(pending, name))

    drop("b.json", '{"command": "true", "id": "b", "after": ["a"]}')
    drop("a.json", '{"command": "sleep 0.2", "id": "a"}')
    wait_until(lambda: len(entries(spool, "completed")) == 2, "both drops")
    drop("c.json", '{"command": "true", "id": "c", "after": ["nobody"]}')
    wait_until(lambda: entries(spool, "dead") == ["c.json"], "what waits for nobody")
    assert "there is no job 'nobody'" in run_cli("dlq", "list").stdout
