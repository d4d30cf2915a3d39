"""`enqueue`: what the words mean, and what is stored of them."""

import json
import os
import subprocess
import sys

import pytest

from spoolq import fsio, instants, names, views
from tests.conftest import entries, environment


def jobs(spool):
    """All waiting jobs, the first first."""
    return [view.job.fields for view in views.jobs(spool, state="pending")][::-1]


# --- words ----------------------------------------------------------------------------------------


def test_a_single_argument_goes_to_the_shell(spoolq, only_job):
    spoolq("enqueue", "make -j2 && make install")
    assert only_job()["command"] == "make -j2 && make install"


def test_several_arguments_are_a_program_and_its_words_as_typed(spoolq, only_job):
    spoolq("enqueue", "cp", "my file", "$HOME", "")
    assert only_job()["command"] == ["cp", "my file", "$HOME", ""]


def test_options_end_at_the_first_word_of_a_command(spoolq, only_job):
    spoolq("enqueue", "--priority", "7", "docker", "run", "--name", "web", "--id", "x", "nginx")
    job = only_job()
    assert job["command"] == ["docker", "run", "--name", "web", "--id", "x", "nginx"]
    assert "name" not in job
    assert job["priority"] == 7


def test_options_may_follow_json_and_beat_its_fields(spoolq, only_job):
    spoolq(
        "enqueue", '{"command": "x", "priority": 1, "tags": ["a"], "name": "kept"}',
        "--priority", "9", "--tag", "b", "--tag", "c", "--timeout", "10m",
    )  # fmt: skip
    job = only_job()
    assert (job["priority"], job["tags"], job["name"]) == (9, ["b", "c"], "kept")
    assert job["timeout"] == 600


def test_options_may_follow_a_dash(spoolq, only_job):
    spoolq("enqueue", "-", "--priority", "9", stdin=b"true\n")
    assert only_job()["priority"] == 9


def test_several_json_objects_are_one_job_each(spoolq, spool):
    done = spoolq("enqueue", '{"command": "a"}', '{"command": "b"}', "--max-retries", "0")
    assert len(done.ids) == 2
    assert [(job["command"], job["max_retries"]) for job in jobs(spool)] == [("a", 0), ("b", 0)]


def test_after_two_dashes_nothing_is_ours(spoolq, only_job):
    spoolq("enqueue", "--", "/my prog", "--priority", "9")
    assert only_job()["command"] == ["/my prog", "--priority", "9"]


def test_a_command_with_blanks_and_then_our_options_is_refused_with_the_right_order(spoolq, spool):
    done = spoolq("enqueue", "sleep 5", "--priority", "9", code=2)
    assert "hint: spoolq enqueue --priority 9 'sleep 5'" in done.err
    assert entries(spool, "pending") == []


def test_a_group_of_the_shell_is_told_from_broken_json(spoolq):
    done = spoolq("enqueue", "{ a; b; }", code=2)
    assert "hint: if it is meant for the shell:  spoolq enqueue sh -c '{ a; b; }'" in done.err


@pytest.mark.parametrize(
    "word", ["{'command': 'x'}", "{command: x}", '{"command": "x"', "{", "{}x"]
)
def test_broken_json_is_refused_with_its_place(spoolq, spool, word):
    done = spoolq("enqueue", word, code=2)
    assert "line 1, column" in done.err
    assert entries(spool, "pending") == []


def test_a_list_of_objects_is_refused_and_the_test_command_is_not(spoolq, only_job):
    assert "not a list" in spoolq("enqueue", '[{"command": "x"}]', code=2).err
    spoolq("enqueue", "[ -f x ]")
    assert only_job()["command"] == "[ -f x ]"


def test_a_wrong_field_is_named_with_line_and_column(spoolq):
    done = spoolq("enqueue", '{"command": "x",\n "env": {"A": 1}}', code=2)
    assert "line 2, column 15, field 'env.A': must be text, not a number" in done.err
    done = spoolq("enqueue", '{"command": "x"}', '{"command": 1}', code=2)
    assert "job 2: line 1, column 13, field 'command'" in done.err


def test_nothing_is_enqueued_where_one_of_several_is_wrong(spoolq, spool):
    spoolq("enqueue", '{"command": "x"}', '{"command": ""}', code=2)
    assert entries(spool, "pending") == []


def test_nothing_to_run_is_refused(spoolq):
    assert "what is to be run?" in spoolq("enqueue", code=2).err
    assert spoolq("enqueue", "", code=2).out == ""


def test_a_field_that_is_not_known_is_kept_and_warned_of_once(spoolq, spool):
    done = spoolq("enqueue", "-", stdin=b'{"command": "x", "prioriti": 9}\n' * 2)
    assert done.err.count("did you mean 'priority'?") == 1
    assert [job["prioriti"] for job in jobs(spool)] == [9, 9]


def test_words_that_are_not_utf8_are_refused(spoolq):
    assert "not UTF-8" in spoolq("enqueue", "echo", os.fsdecode(b"\xff"), code=2).err
    assert "not UTF-8" in spoolq("enqueue", os.fsdecode(b'{"command": "\xff"}'), code=2).err


# --- what is stored -------------------------------------------------------------------------------


def test_the_ids_are_printed_alone_one_a_line(run_cli, spool):
    done = run_cli("enqueue", '{"command": "a", "id": "one"}', '{"command": "b"}')
    first, second = done.stdout.splitlines()
    assert first == "one"
    assert names.is_id(second)
    assert done.stderr == ""


def test_the_directory_and_what_capture_env_lists_are_kept(run_cli, only_job, tmp_path):
    here = tmp_path / "here"
    here.mkdir()
    run_cli("config", "set", "capture_env", "LANG,COLOR_OF_THE_SKY")
    run_cli("enqueue", "true", cwd=str(here), env={"LANG": "C", "COLOR_OF_THE_SKY": "blue"})
    job = only_job()
    assert job["cwd"] == os.path.realpath(str(here))
    assert job["env"] == {"LANG": "C", "COLOR_OF_THE_SKY": "blue"}


def test_variables_of_the_job_beat_captured_ones_and_options_beat_both(
    spoolq, only_job, monkeypatch
):
    monkeypatch.setenv("LANG", "here")
    monkeypatch.setenv("LC_ALL", "here")
    monkeypatch.setenv("FROM_HERE", "value of here")
    spoolq(
        "enqueue", '{"command": "x", "env": {"LANG": "json", "A": "json", "B": "json"}}',
        "--env", "A=option=x", "--env", "FROM_HERE",
    )  # fmt: skip
    env = only_job()["env"]
    assert (env["LC_ALL"], env["LANG"], env["A"], env["B"]) == ("here", "json", "option=x", "json")
    assert env["FROM_HERE"] == "value of here"


def test_a_captured_variable_that_no_job_file_can_hold_is_left_out(spoolq, only_job, monkeypatch):
    monkeypatch.setenv("LANG", os.fsdecode(b"\xff"))
    spoolq("enqueue", "true")
    assert "LANG" not in only_job()["env"]


def test_env_of_a_variable_that_is_not_there_is_refused(spoolq, monkeypatch):
    monkeypatch.delenv("NOT_THERE", raising=False)
    assert "no such variable here" in spoolq("enqueue", "--env", "NOT_THERE", "x", code=2).err


def test_the_jobs_own_directory_stays_and_a_relative_one_is_of_here(spoolq, spool, monkeypatch):
    monkeypatch.chdir("/usr")
    spoolq("enqueue", '{"command": "x", "cwd": "/nowhere"}')
    spoolq("enqueue", "--cwd", "lib/../share", "x")
    assert [job["cwd"] for job in jobs(spool)] == ["/nowhere", "/usr/share"]


def test_all_options_are_stored_as_fields(spoolq, only_job):
    done = spoolq(
        "enqueue", "--id", "my-job", "--name", "nightly", "--tag", "a", "--priority", "0",
        "--max-retries", "7", "--backoff-base", "1.5", "--timeout", "90", "--cwd", "/",
        "--env", "A=", "--in", "1h", "true",
    )  # fmt: skip
    assert done.ids == ["my-job"]
    assert "not before 20" in done.err
    assert ", in 1 h" in done.err
    job = only_job()
    wanted = {
        "id": "my-job", "name": "nightly", "tags": ["a"], "priority": 0, "max_retries": 7,
        "backoff_base": 1.5, "timeout": 90, "cwd": "/", "command": "true",
    }  # fmt: skip
    assert {key: job[key] for key in wanted} == wanted
    assert job["env"]["A"] == ""


def test_only_what_was_given_is_stored(spoolq, only_job):
    spoolq("enqueue", "true")
    assert sorted(only_job()) == ["command", "created_at", "cwd", "env"]


def test_a_time_is_understood_told_and_written_into_the_name(spoolq, spool):
    done = spoolq("enqueue", "--at", "2077-01-01T00:00:00Z", "true")
    assert "not before 20" in done.err
    assert entries(spool, "pending")[0].startswith("20770101T000000000000Z.p5.a0.")


@pytest.mark.parametrize(
    "options",
    [
        ("--at", "2020-01-01"), ("--at", "whenever"), ("--in", "-5"), ("--in", "18:00"),
        ("--at", "18:00", "--in", "5"), ("--priority", "10"), ("--priority", "high"),
        ("--max-retries", "-1"), ("--timeout", "0"), ("--timeout", "long"),
        ("--backoff-base", "nan"), ("--id", "last"), ("--id", "a/b"), ("--id", ""), ("--tag", ""),
        ("--cwd", ""), ("--env", "=x"), ("--nonsense",),
    ],
)  # fmt: skip
def test_a_wrong_option_is_a_usage_error_and_enqueues_nothing(spoolq, spool, options):
    done = spoolq("enqueue", *options, "true", code=2)
    assert done.err.startswith("Error: ")
    assert entries(spool, "pending") == []


def test_like_copies_a_job_but_not_its_id_time_or_history(spoolq, spool):
    spoolq(
        "enqueue", "--id", "first", "--tag", "t", "--in", "1h", "--cwd", "/", "--env", "A=1",
        "echo", "x",
    )  # fmt: skip
    (job_id,) = spoolq("enqueue", "--like", "first", "--env", "B=2").ids
    job = views.find(spool, job_id).job.fields
    assert (job["command"], job["tags"], job["cwd"]) == (["echo", "x"], ["t"], "/")
    assert job["env"]["A"] == "1"
    assert job["env"]["B"] == "2"
    assert "run_at" not in job
    assert "id" not in job


def test_like_with_a_command_takes_all_but_the_command(spoolq, spool):
    spoolq("enqueue", "--id", "first", "--priority", "8", "a")
    (job_id,) = spoolq("enqueue", "--like", "first", "b").ids
    job = views.find(spool, job_id).job.fields
    assert (job["command"], job["priority"]) == ("b", 8)


# --- ids ------------------------------------------------------------------------------------------


def test_an_id_that_exists_is_refused_in_any_state(spoolq, spool):
    spoolq("enqueue", "--id", "one", "true")
    done = spoolq("enqueue", "--id", "one", "true", code=1)
    assert "there is a job 'one' already; it is pending" in done.err
    assert f"  file  {spool.path}/pending/" in done.err


def test_one_id_for_several_jobs_is_refused(spoolq, spool):
    spoolq("enqueue", "--id", "x", '{"command": "a"}', '{"command": "b"}', code=2)
    spoolq("enqueue", "--id", "x", "-", code=2, stdin=b"a\n")
    assert entries(spool, "pending") == []


# --- stdin ----------------------------------------------------------------------------------------


def test_lines_are_json_or_commands_and_blank_ones_are_skipped(spoolq, spool):
    text = 'echo "ü"\n\n  \n{"command": ["b"], "priority": 9}\r\necho last'
    done = spoolq("enqueue", "-", "--tag", "t", stdin=text.encode())
    assert len(done.ids) == 3
    commands = {json.dumps(job["command"], ensure_ascii=False) for job in jobs(spool)}
    assert commands == {'"echo \\"ü\\""', '["b"]', '"echo last"'}


def test_the_jobs_of_stdin_keep_their_order(spoolq, spool):
    done = spoolq("enqueue", "-", stdin=b"".join(b"echo %d\n" % n for n in range(100)))
    assert [names.parse(name).id for name in entries(spool, "pending")] == done.ids


@pytest.mark.parametrize(
    ("line", "place"),
    [
        (b'{"command": }', "line 3, column 13: not JSON"),
        (b'{"command": "x", "priority": 99}', "line 3, column 30, field 'priority'"),
        (b'{"priority": 1}', "line 3: a job needs a 'command'"),
        (b"echo \xff", "line 3, column 6: not UTF-8"),
        (b"echo \0", "line 3: field 'command': holds a NUL"),
        (b"x" * (1024 * 1024 + 1), "line 3: larger than 1024 KiB"),
        (b'{"command": "x", "id": "a/b"}', "line 3, column 24, field 'id'"),
    ],
)
def test_all_lines_are_checked_before_any_is_enqueued(spoolq, spool, line, place):
    done = spoolq("enqueue", "-", stdin=b"echo 1\n\n" + line + b"\necho 2\n", code=1)
    assert place in done.err
    assert "nothing was enqueued" in done.err
    assert entries(spool, "pending") == []


def test_two_lines_with_one_id_are_refused(spoolq, spool):
    done = spoolq("enqueue", "-", stdin=b'{"command": "x", "id": "a"}\n' * 2, code=1)
    assert "line 2, column 24, field 'id'" in done.err
    assert entries(spool, "pending") == []


def test_a_line_of_just_a_mebibyte_is_enough_for_a_job_and_no_more(spoolq, spool):
    words = ["x" * 100_000] * 10
    spoolq("enqueue", "-", stdin=json.dumps({"command": words}).encode() + b"\n")
    assert len(entries(spool, "pending")) == 1


def test_stream_enqueues_each_line_as_it_comes(spool):
    process = subprocess.Popen(
        [sys.executable, "-m", "spoolq", "--spool", spool.path, "enqueue", "--stream", "-"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment(),
    )
    with process:
        for count in (1, 2):
            process.stdin.write(b"true\n")
            process.stdin.flush()
            assert names.is_id(process.stdout.readline().decode().strip())
            assert len(entries(spool, "pending")) == count
        process.stdin.close()
        assert process.wait() == 0


def test_stream_says_how_many_are_enqueued_when_a_line_is_wrong(spoolq, spool):
    done = spoolq("enqueue", "-", "--stream", stdin=b'true\ntrue\n{"command": 1}\n', code=1)
    assert "2 jobs before it are enqueued" in done.err
    assert "line 3, column 13" in done.err
    assert len(entries(spool, "pending")) == len(done.ids) == 2


def test_stream_without_stdin_is_refused(spoolq):
    spoolq("enqueue", "--stream", "true", code=2)


def test_a_dash_among_words_is_refused_and_one_after_two_dashes_is_a_word(spoolq, only_job):
    spoolq("enqueue", "-", "x", code=2)
    spoolq("enqueue", "--", "-")
    assert only_job()["command"] == "-"


def test_closed_stdin_is_refused(spool):
    command = f"{sys.executable} -m spoolq --spool {spool.path} enqueue - <&-"
    done = subprocess.run(["sh", "-c", command], capture_output=True, env=environment())
    assert done.returncode == 2
    assert b"stdin is closed" in done.stderr


# --- the spool ------------------------------------------------------------------------------------


def test_an_empty_spool_option_is_no_default(spoolq, spool):
    assert "names no directory" in spoolq("list", "--spool", "", code=2).err


def test_a_spool_that_is_not_there_is_made_and_told_of(run_cli, tmp_path):
    path = tmp_path / "new" / "spool"
    done = run_cli("enqueue", "true", spool_path=path)
    assert done.stderr == f"made a spool at {path}\n"
    assert names.is_id(done.stdout.strip())
    assert (path / "pending").stat().st_mode & 0o777 == 0o700


def test_a_mistake_makes_no_spool(spoolq, tmp_path):
    spoolq("enqueue", "{", code=2, spool_path=tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_spool_is_taken_right_after_the_verb_too(run_cli, spool, tmp_path):
    run_cli("enqueue", "--spool", spool.path, "true", spool_path=tmp_path / "other")
    assert len(entries(spool, "pending")) == 1
    assert not (tmp_path / "other").exists()


def test_last_is_the_job_that_was_enqueued_last(spoolq):
    spoolq("enqueue", "--in", "1h", "--id", "first", "true")
    spoolq("enqueue", "--id", "second", "true")
    assert json.loads(spoolq("show", "--json").out)["id"] == "second"


def test_an_unconfirmed_sync_names_the_ids_on_stderr(spoolq, spool, monkeypatch):
    def fail(self):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(fsio.Dir, "sync", fail)
    done = spoolq("enqueue", '{"command": "x", "id": "maybe"}', code=1)
    assert done.out == ""
    assert "the disk did not confirm it" in done.err
    assert "  job  maybe\n" in done.err
    assert len(entries(spool, "pending")) == 1


def test_created_at_is_the_moment_of_the_call(spoolq, only_job):
    before = instants.now()
    spoolq("enqueue", "true")
    assert before <= instants.from_rfc3339(only_job()["created_at"]) <= instants.now()


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no /dev/full here")
def test_ids_that_cannot_be_printed_are_no_reason_to_enqueue_again(spool):
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "spoolq", "--spool", spool.path, "enqueue", "-"],
            input="true\ntrue\n",
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            env=environment(),
        )
    assert done.returncode == 1
    assert "the jobs are enqueued" in done.stderr
    ids = {name.split(".")[3] for name in entries(spool, "pending")}
    assert len(ids) == 2
    assert all(job_id in done.stderr for job_id in ids)
