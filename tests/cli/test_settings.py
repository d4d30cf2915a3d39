"""`config`, `init`, `pause`, `resume`, `completion`."""

import json
import os
import stat
import subprocess
import sys
import threading

import pytest

from spoolq import config
from tests.conftest import entries, environment


def settings(spoolq):
    return json.loads(spoolq("config", "list", "--json").out)


# --- config ---------------------------------------------------------------------------------------


def test_set_get_and_unset(spoolq):
    assert spoolq("config", "get", "max_retries").out == "3\n"
    spoolq("config", "set", "max-retries", "5")
    assert spoolq("config", "get", "MAX_RETRIES").out == "5\n"
    assert json.loads(spoolq("config", "get", "max-retries", "--json").out) == 5
    spoolq("config", "unset", "max-retries")
    assert spoolq("config", "get", "max_retries").out == "3\n"


def test_values_are_spelled_as_people_type_them(spoolq):
    for key, text, value in (
        ("backoff_base", "1.5", 1.5),
        ("timeout", "90", 90),
        ("timeout", "none", None),
        ("max_log", "1000000", 1_000_000),
        ("sync_claims", "true", True),
        ("durability", "accept", "accept"),
        ("shell", "/bin/bash", "/bin/bash"),
        ("capture_env", "PATH, HOME", ["PATH", "HOME"]),
        ("capture_env", "", []),
    ):
        spoolq("config", "set", key, text)
        assert settings(spoolq)[key] == value
        again = spoolq("config", "get", key).out[:-1]
        spoolq("config", "set", key, again)
        assert settings(spoolq)[key] == value


def test_list_has_every_setting_and_what_it_means(spoolq):
    assert list(settings(spoolq)) == list(config.KEYS)
    lines = spoolq("config", "list").out.splitlines()
    assert [line.split()[0] for line in lines] == ["SETTING", *config.KEYS]
    assert "retries after the first attempt" in lines[1]


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("max_retries", "many", "max_retries must be a number"),
        ("max_retries", "-1", "max_retries must be from 0 to 100000"),
        ("durability", "ful", "must be one of full, accept, none"),
        ("group", "no-such-group", "must be the name of a group"),
        ("retries", "1", "did you mean 'max_retries'?"),
    ],
)
def test_a_wrong_key_or_value_is_refused_with_the_right_ones(spoolq, spool, key, value, words):
    before = spool.config_bytes()
    assert words in spoolq("config", "set", key, value, code=2).err
    assert spool.config_bytes() == before


def test_set_keeps_keys_that_it_does_not_know(spoolq, spool):
    path = os.path.join(spool.path, "config.json")
    with open(path, "w") as file:
        file.write('{"format": 1, "from_the_future": [1], "grace": 1}')
    spoolq("config", "set", "grace", "2")
    with open(path) as file:
        assert json.load(file) == {"format": 1, "from_the_future": [1], "grace": 2}
    assert "'from_the_future' is not a setting" in spoolq("config", "list").err


def test_a_config_that_does_not_parse_is_not_written_over(spoolq, spool):
    path = os.path.join(spool.path, "config.json")
    with open(path, "w") as file:
        file.write("{")
    assert "hint: mend it, or remove it" in spoolq("config", "set", "grace", "2", code=1).err
    with open(path) as file:
        assert file.read() == "{"


def test_of_two_changes_at_once_none_is_lost(spool):
    keys = ("max_retries", "backoff_base", "backoff_max", "grace", "lease", "settle")

    def change(key):
        command = [sys.executable, "-m", "spoolq", "--spool", spool.path, "config", "set", key, "7"]
        subprocess.run(command, env=environment(), check=True, stderr=subprocess.DEVNULL)

    threads = [threading.Thread(target=change, args=(key,)) for key in keys]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {key: config.raw(spool.config_bytes()).get(key) for key in keys} == dict.fromkeys(
        keys, 7
    )


def test_a_setting_acts_on_jobs_that_wait(spoolq, spool, start_worker):
    spoolq("enqueue", "exit 1")
    spoolq("config", "set", "max_retries", "0")
    assert start_worker("--drain").wait() == 0
    assert len(entries(spool, "dead")) == 1


# --- pause and resume -----------------------------------------------------------------------------


def test_pause_and_resume(spoolq, spool):
    assert spoolq("pause").err.startswith("paused: ")
    assert spoolq("pause").err.startswith("paused already: ")
    assert spool.root.has("paused")
    assert spoolq("resume").err.startswith("goes on: ")
    assert spoolq("resume").err.startswith("was not paused: ")
    assert not spool.root.has("paused")


# --- init -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("umask", ["0002", "0022", "0077", "0777"])
def test_init_makes_a_spool_for_its_owner_alone_whatever_the_umask(tmp_path, umask):
    command = f"umask {umask}; {sys.executable} -m spoolq init"
    done = subprocess.run(
        ["sh", "-c", command], cwd=str(tmp_path), capture_output=True, text=True, env=environment()
    )
    assert done.returncode == 0, done.stderr
    assert f"made a spool at {tmp_path}/spool\n" in done.stderr
    modes = {
        path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "spool").iterdir()
    }
    assert (modes.pop("README"), modes.pop("config.json")) == (0o600, 0o600)
    assert set(modes.values()) == {0o700}


def test_init_is_found_by_the_next_command_in_the_directory(tmp_path, monkeypatch, run_cli):
    variables = {key: text for key, text in environment().items() if key != "SPOOLQ_SPOOL"}

    def spoolq(*args):
        return subprocess.run(
            [sys.executable, "-m", "spoolq", *args],
            cwd=str(tmp_path / "here"), env=variables, capture_output=True, text=True, check=True,
        )  # fmt: skip

    (tmp_path / "here").mkdir()
    assert "use it with" not in spoolq("init").stderr
    spoolq("enqueue", "true")
    assert len(list((tmp_path / "here" / "spool" / "pending").iterdir())) == 1


def test_init_loses_nothing_of_a_spool_that_is_there(spoolq, spool):
    spoolq("enqueue", "true")
    spoolq("config", "set", "grace", "1")
    assert "there is a spool already at" in spoolq("init", spool.path).err
    assert len(entries(spool, "pending")) == 1
    assert settings(spoolq)["grace"] == 1


def test_init_says_how_to_use_a_spool_that_is_not_the_default(spoolq, tmp_path):
    path = tmp_path / "elsewhere"
    assert f"use it with:  spoolq --spool {path} VERB" in spoolq("init", str(path)).err


def test_init_of_an_unknown_group_is_refused_and_makes_nothing(spoolq, tmp_path):
    spoolq("init", str(tmp_path / "new"), "--group", "no-such-group", code=2)
    assert not (tmp_path / "new").exists()


# --- completion -----------------------------------------------------------------------------------


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_the_script_of_a_shell(spoolq, shell):
    assert "_SPOOLQ_COMPLETE" in spoolq("completion", shell).out


def complete(spool, *words):
    """What bash would be offered for the last of these words."""
    done = subprocess.run(
        [sys.executable, "-m", "spoolq"],
        env=environment(
            _SPOOLQ_COMPLETE="bash_complete",
            COMP_WORDS=" ".join(("spoolq", "--spool", spool.path, *words)),
            COMP_CWORD=str(len(words) + 2),
        ),
        capture_output=True,
        text=True,
        check=True,
    )
    return [line.partition(",")[2] for line in done.stdout.splitlines() if line]


def test_verbs_options_states_keys_and_ids_complete(spoolq, spool):
    spoolq("enqueue", "--id", "night-1", "true")
    spoolq("enqueue", "--id", "night-2", "true")
    spoolq("enqueue", "--id", "day", "true")
    assert complete(spool, "enq") == ["enqueue"]
    assert complete(spool, "list", "--sta") == ["--state"]
    assert complete(spool, "list", "--state", "p") == ["pending", "processing"]
    assert complete(spool, "config", "get", "max") == ["max_retries", "max_log"]
    assert complete(spool, "show", "night") == ["night-2", "night-1"]
    assert complete(spool, "show", "nothing") == []


def test_a_spool_of_a_format_that_is_not_known_is_left_alone(spoolq, spool):
    with open(os.path.join(spool.path, "config.json"), "w", encoding="utf-8") as file:
        file.write('{"format": 2}')
    for args in (["enqueue", "true"], ["run", "true"], ["worker", "start", "--drain"]):
        done = spoolq(*args, code=1)
        assert "this spool has format 2, and this spoolq knows 1 only" in done.err
        assert "hint: update spoolq" in done.err
    assert entries(spool, "pending") == []
    assert spool.dir("workers").list() == []


def test_an_empty_directory_is_made_a_spool_by_init_alone(run_cli, tmp_path):
    """It may be where a disk is not mounted: a job put there would be out of sight later."""
    empty = tmp_path / "empty"
    empty.mkdir()
    for verb in (["enqueue", "true"], ["worker", "start", "--drain"]):
        done = run_cli(*verb, spool_path=empty, check=False)
        assert done.returncode == 1
        assert "empty directory" in done.stderr and "spoolq init" in done.stderr
        assert os.listdir(empty) == []
    run_cli("init", str(empty))
    run_cli("enqueue", "true", spool_path=empty)
