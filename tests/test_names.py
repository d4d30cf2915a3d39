"""File names of jobs: what they say, and that none leads out of its directory."""

import re
from datetime import datetime, timezone

import pytest

from spoolq import names
from spoolq.names import Name

STAMP = "20261124T020646123456Z"
WAITING = f"{STAMP}.p5.a0.k3v9x2a7m4q1c.json"
CLAIMED = f"{STAMP}.p5.a1.k3v9x2a7m4q1c@web1-4121-x7f3.0.json"


def test_a_waiting_name_says_time_priority_attempts_and_id():
    name = names.parse(WAITING)
    assert name == Name(STAMP, 5, 0, "k3v9x2a7m4q1c", None, None)
    assert name.at == datetime(2026, 11, 24, 2, 6, 46, 123456, timezone.utc)
    assert str(name) == WAITING


def test_a_claimed_name_says_worker_and_slot_too():
    name = names.parse(CLAIMED)
    assert name == Name(STAMP, 5, 1, "k3v9x2a7m4q1c", "web1-4121-x7f3", "0")
    assert str(name) == CLAIMED


def test_the_waiting_name_of_a_claim_has_no_owner():
    assert str(names.parse(CLAIMED).waiting(attempt=0)) == WAITING
    later = names.parse(CLAIMED).waiting(stamp="20270101T000000000000Z")
    assert str(later) == "20270101T000000000000Z.p5.a1.k3v9x2a7m4q1c.json"


@pytest.mark.parametrize(
    "filename",
    [
        "",
        "job.json",
        WAITING[: -len(".json")],
        WAITING + "\n",
        "." + WAITING,
        WAITING.replace("Z", "z"),
        WAITING.replace(".p5", ".p10"),
        WAITING.replace(".p5", ".p"),
        WAITING.replace(".p5", ".p-1"),
        WAITING.replace(".a0", ".a00"),
        WAITING.replace(".a0", ".a01"),
        WAITING.replace(".a0", ".a1000000"),
        WAITING.replace("k3v9x2a7m4q1c", ""),
        WAITING.replace("k3v9x2a7m4q1c", "-rf"),
        WAITING.replace("k3v9x2a7m4q1c", "a.b"),
        WAITING.replace("k3v9x2a7m4q1c", "../../etc"),
        WAITING.replace("k3v9x2a7m4q1c", "é"),
        WAITING.replace("k3v9x2a7m4q1c", "x" * 65),
        WAITING.replace("20261124", "00001124"),
        WAITING.replace("20261124", "20261324"),
        WAITING.replace("20261124", "20260231"),
        WAITING.replace("20261124", "20260229"),
        WAITING.replace("20261124", "２０２６1124"),
        WAITING.replace("T020646", "T240000"),
        WAITING.replace("T020646", "T026046"),
        CLAIMED.replace("@web1-4121-x7f3.0", "@web1-4121-x7f3"),
        CLAIMED.replace("@web1-4121-x7f3.0", "@.0"),
        CLAIMED.replace("@web1-4121-x7f3.0", "@w.0.1"),
        CLAIMED.replace("@web1-4121-x7f3.0", "@../w.0"),
        CLAIMED.replace("@web1-4121-x7f3.0", "@-w.0"),
    ],
)
def test_what_is_not_of_the_form_says_nothing(filename):
    assert names.parse(filename) is None


def test_a_leap_day_is_a_day():
    assert names.parse(WAITING.replace("20261124", "20280229")) is not None


def test_the_largest_attempt_still_parses():
    name = names.parse(WAITING)._replace(attempt=names.MAX_ATTEMPT)
    assert names.parse(str(name)) == name


def test_the_longest_name_fits_every_filesystem():
    longest = Name(STAMP, 9, names.MAX_ATTEMPT, "i" * 64, "w" * 80, "s" * 16)
    assert names.parse(str(longest)) == longest
    assert len(str(longest)) <= 255


@pytest.mark.parametrize("filename", [WAITING, CLAIMED])
def test_the_quick_look_finds_the_id(filename):
    assert names.id_in(filename) == "k3v9x2a7m4q1c"


@pytest.mark.parametrize("filename", ["", "job.json", "a.b.c.d.json", "....", WAITING[:-9]])
def test_the_quick_look_finds_no_id_in_another_name(filename):
    assert names.id_in(filename) == ""


@pytest.mark.parametrize("filename", ["x.json", "a b.json", "ü.json", "-rf.json", "\udcff.json"])
def test_a_file_that_ends_in_json_is_meant_as_a_job(filename):
    assert names.is_job(filename)


@pytest.mark.parametrize(
    "filename", [".x.json", "x.json~", ".x.json.swp", "x.JSON", "json", ".json"]
)
def test_hidden_files_and_other_endings_are_left_alone(filename):
    assert not names.is_job(filename)


@pytest.mark.parametrize("text", ["a", "_", "nightly-42", "A" * 64, "lastly", "0"])
def test_an_id_is_letters_digits_underscore_and_hyphen(text):
    assert names.is_id(text)


@pytest.mark.parametrize(
    "text", ["", "-rf", ".", "..", "a/b", "a b", "a\n", "ä", "A" * 65, "last", "a\0", "a.b", "@"]
)
def test_what_could_leave_a_path_or_a_name_is_no_id(text):
    assert not names.is_id(text)


def test_a_made_id_is_thirteen_plain_characters_and_never_the_same():
    made = {names.new_id() for _ in range(1000)}
    assert len(made) == 1000
    assert all(re.fullmatch(r"[0-9a-hjkmnp-tv-z]{13}", one) for one in made)
    assert all(names.is_id(one) for one in made)


def test_the_id_of_a_drop_begins_with_its_stem():
    made = names.id_from_stem("nightly.json")
    assert made.startswith("nightly-")
    assert len(made) == len("nightly-") + 13
    assert names.is_id(made)


def test_two_drops_of_one_name_get_two_ids():
    assert names.id_from_stem("nightly.json") != names.id_from_stem("nightly.json")


@pytest.mark.parametrize("filename", ["a b.json", "a.b.json", "ü.json", "-rf.json", "last.json"])
def test_a_stem_that_is_no_id_is_dropped(filename):
    assert re.fullmatch(r"[0-9a-z]{13}", names.id_from_stem(filename))


def test_the_longest_stem_still_makes_a_legal_id():
    made = names.id_from_stem("s" * 64 + ".json")
    assert names.is_id(made)
    assert made != names.id_from_stem("s" * 64 + ".json")


@pytest.mark.parametrize(
    "host", ["web1", "web1.example.org", "", "-", "müller's laptop", "x" * 300, "a@b.c/..", "\n"]
)
def test_a_worker_of_any_host_has_a_name_that_parses(host):
    worker = names.new_worker(host, 4121)
    assert names.is_worker(worker)
    claim = Name(STAMP, 5, 1, "id", worker, "0")
    assert names.parse(str(claim)) == claim


def test_a_worker_name_is_never_used_again():
    assert names.new_worker("web1", 4121) != names.new_worker("web1", 4121)


@pytest.mark.parametrize(
    "text",
    ["", "-w-1-x", "../w-1-x", "a.b-1-x", "w" * 77 + "-1-x", "w-1-x\n", "tmp/w-1-x"]
    + ["notes", "w-x", "w-1", "w-1-X"],
)
def test_what_could_leave_workers_or_has_no_host_pid_and_end_is_no_worker(text):
    assert not names.is_worker(text)
