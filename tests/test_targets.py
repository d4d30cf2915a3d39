"""How targets are written, how they are reached, and which job goes to which."""

import shlex
import sys

import pytest

from spoolq.errors import BadInput
from spoolq.job import Job
from spoolq.names import Name
from spoolq.targets import Share, Target, chosen, command, parse


@pytest.mark.parametrize(
    "text, host, port, path",
    [
        ("/srv/spool", "", None, "/srv/spool"),
        ("spool", "", None, "/here/spool"),
        ("../b:c", "", None, "/b:c"),
        ("./b:c", "", None, "/here/b:c"),
        ("/srv/a:b", "", None, "/srv/a:b"),
        ("host:", "host", None, ""),
        ("host:spool", "host", None, "spool"),
        ("host:/srv/a:b", "host", None, "/srv/a:b"),
        ("me@host:~/spool", "me@host", None, "spool"),
        ("me@host:~", "me@host", None, "."),
        ("[::1]:spool", "::1", None, "spool"),
        ("me@[fe80::1]:/s", "me@fe80::1", None, "/s"),
        ("ssh://host", "host", None, ""),
        ("ssh://host/", "host", None, ""),
        ("ssh://me@host:2222/srv/spool", "me@host", 2222, "/srv/spool"),
        ("ssh://host/~/spool", "host", None, "spool"),
        ("ssh://[::1]:22/s", "::1", 22, "/s"),
    ],
)
def test_a_target_is_written_as_for_scp_and_git(text, host, port, path):
    found = parse(text, "/here")
    assert (found.host, found.port, found.path) == (host, port, path)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a\nb:c",
        "-oProxyCommand=touch:x",
        "-x@host:y",
        "ssh://-oProxyCommand=x/y",
        "ssh://me:secret@host/x",
        "ssh:///x",
        "ssh://host:99999/x",
        "ho st:x",
        "ssh://host/x?y",
    ],
)
def test_what_ssh_could_take_for_an_option_is_no_host(text):
    with pytest.raises(BadInput):
        parse(text, "/here")


def test_a_spool_of_this_machine_is_spoken_to_without_ssh():
    words = command(parse("/a b", "/"), ssh=["false"])
    assert words == [sys.executable, "-m", "spoolq", "--spool", "/a b", "receive"]


def test_no_shell_here_reads_a_target_and_the_one_there_gets_it_quoted():
    target = parse("host:a b; touch $(x) 'y", "/")
    words = command(target, ssh=["ssh", "-i", "k"], program=["my py", "-m", "spoolq"], create=True)
    assert words[:3] == ["ssh", "-i", "k"]
    assert words[-3:-1] == ["--", "host"]
    there = shlex.split(words[-1])
    assert there[:5] == ["my py", "-m", "spoolq", "--spool", "a b; touch $(x) 'y"]
    assert there[5:] == ["receive", "--create"]


def test_the_default_spool_of_the_other_side_is_not_named():
    assert command(parse("ssh://h:5", "/"))[-5:] == ["-p", "5", "--", "h", "spoolq receive"]


# --- shares ---------------------------------------------------------------------------------------

FIVE = [Target(f"host{n}:", "", f"host{n}") for n in range(5)]


def share_of(targets, keys):
    return {key: chosen(targets, key) for key in keys}


def test_a_target_more_takes_over_its_own_share_and_moves_nothing_else():
    keys = [f"job{n}" for n in range(5000)]
    before, after = share_of(FIVE[:4], keys), share_of(FIVE, keys)
    moved = [key for key in keys if before[key] != after[key]]
    assert all(after[key] == FIVE[4] for key in moved)
    assert 0.15 < len(moved) / len(keys) < 0.25  # a fifth
    assert share_of(list(reversed(FIVE)), keys) == after


def test_each_target_gets_about_as_much():
    found = list(share_of(FIVE, [f"job{n}" for n in range(5000)]).values())
    assert all(800 < found.count(target) < 1200 for target in FIVE)


def owner(share, **fields):
    name = Name("20261124T020646123456Z", 5, 0, fields.pop("job_id", "j1"))
    job = Job({"command": "true", **fields})
    (one,) = [target for target in FIVE if share.is_for(target, name, job)]
    return one


def test_jobs_with_one_name_or_tag_go_to_one_target():
    by_name, by_tag = Share(FIVE, "name"), Share(FIVE, "tag:site=")
    assert by_name.reads and by_tag.reads and not Share(FIVE).reads
    ids = [f"j{n}" for n in range(50)]
    assert len({owner(by_name, job_id=i, name="backup") for i in ids}) == 1
    assert len({owner(by_tag, job_id=i, tags=["x", "site=a"]) for i in ids}) == 1
    assert len({owner(by_tag, job_id=i, tags=["other"]) for i in ids}) == 5
    assert len({owner(by_name, job_id=i) for i in ids}) == 5
    assert owner(Share(FIVE), job_id="j7") == chosen(FIVE, "j7")


@pytest.mark.parametrize("by", ["", "tag", "tag:", "colour"])
def test_what_no_job_can_be_told_by_is_refused(by):
    with pytest.raises(BadInput):
        Share(FIVE, by)
