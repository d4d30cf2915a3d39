"""Lines of strace become steps, and steps are judged by their order."""

import pytest

from spoolq.conformance import order
from spoolq.conformance.calls import (
    MADE,
    NAMED,
    SYNCED,
    SYNCED_ALL,
    TOLD,
    WROTE,
    Reader,
    Step,
)

SPOOL = "/srv/spool"
MAKE = Step(MADE, "openat", f"{SPOOL}/tmp/x.json", flags="O_CREAT|O_EXCL")
WRITE = Step(WROTE, "write", f"{SPOOL}/tmp/x.json")
SYNC = Step(SYNCED, "fsync", f"{SPOOL}/tmp/x.json")
LINK = Step(NAMED, "linkat", f"{SPOOL}/tmp/x.json", f"{SPOOL}/pending/x.json")
SYNC_NAME = Step(SYNCED, "fsync", f"{SPOOL}/pending")
TELL = Step(TOLD, "write", "pipe:[7]")
SYNC_ALL = Step(SYNCED_ALL, "sync", "")


def steps(*lines):
    """Return the steps that lines tell of."""
    reader = Reader(SPOOL, 7)
    found = [reader.step(line + "\n") for line in lines]
    return [step for step in found if step is not None]


def rules(*made):
    """Return the rules that steps break."""
    return [broken.rule for broken in order.judge(SPOOL, made)]


def test_a_call_is_a_step_by_whichever_way_it_names_the_file():
    lines = [
        '1 openat(AT_FDCWD</srv>, "spool/tmp/x.json", O_WRONLY|O_CREAT|O_EXCL, 0600) = '
        "3</srv/spool/tmp/x.json>",
        '1 write(3</srv/spool/tmp/x.json>, "{}", 2) = 2',
        '1 linkat(5</srv/spool/tmp>, "x.json", 6</srv/spool/pending>, "x.json", 0) = 0',
        '2 write(1<pipe:[7]>, "x\\n", 2) = 2',
    ]
    found = steps(*lines)
    assert [step.kind for step in found] == [MADE, WROTE, NAMED, TOLD]
    assert [step.path for step in found[:3]] == [f"{SPOOL}/tmp/x.json"] * 3
    assert found[2].target == f"{SPOOL}/pending/x.json"


def test_a_call_without_a_directory_is_looked_up_where_its_process_has_gone():
    found = steps('1 chdir("/srv/spool") = 0', '1 rename("tmp/x.json", "pending/x.json") = 0')
    assert found[0][:4] == (NAMED, "rename", f"{SPOOL}/tmp/x.json", f"{SPOOL}/pending/x.json")


def test_a_call_that_is_told_in_two_halves_is_one_step_at_its_end():
    found = steps(
        "1 fsync(3</srv/spool/tmp/x.json> <unfinished ...>",
        '2 write(1<pipe:[7]>, "x\\n", 2) = 2',
        "1 <... fsync resumed>) = 0",
    )
    assert [step.kind for step in found] == [TOLD, SYNCED]


@pytest.mark.parametrize(
    "line",
    [
        "1 fsync(3</srv/spool/tmp/x.json>) = -1 EIO (Input/output error)",
        "1 fsync(3</srv/elsewhere/x.json>) = 0",
        '1 openat(AT_FDCWD</srv>, "/srv/spool/config.json", O_RDONLY) = 3</srv/spool/config.json>',
        '1 write(2<pipe:[8]>, "words", 5) = 5',
        '1 rename("/srv/spooled/a", "/srv/spooled/b") = 0',
        "--- SIGCHLD {si_signo=SIGCHLD} ---",
        "1 +++ exited with 0 +++",
    ],
)
def test_what_failed_or_is_elsewhere_is_no_step(line):
    assert steps(line) == []


def test_a_path_is_read_as_strace_quotes_it():
    (step,) = steps('1 unlink("/srv/spool/tmp/\\303\\274\\"\\\\") = 0')
    assert step.path == f'{SPOOL}/tmp/ü"\\'


def test_what_the_format_says_breaks_nothing():
    assert rules(MAKE, WRITE, SYNC, LINK, SYNC_NAME, TELL) == []
    assert rules(MAKE, WRITE, SYNC_ALL, LINK, SYNC_ALL, TELL) == []


def test_a_write_after_the_sync_takes_the_sync_back():
    assert rules(MAKE, WRITE, SYNC, WRITE, LINK, SYNC_NAME, TELL) == ["synced"]


def test_a_file_that_is_opened_to_be_written_through_needs_no_sync():
    through = MAKE._replace(flags="O_CREAT|O_EXCL|O_DSYNC")
    assert rules(through, SYNC, WRITE, LINK, SYNC_NAME, TELL) == []


def test_a_rename_that_would_replace_is_told_from_one_that_would_not():
    rename = LINK._replace(call="renameat2")
    kept = rename._replace(flags="RENAME_NOREPLACE")
    assert rules(MAKE, WRITE, SYNC, rename, SYNC_NAME, TELL) == ["no-replace"]
    assert rules(MAKE, WRITE, SYNC, kept, SYNC_NAME, TELL) == []


def test_a_sync_of_pending_before_the_name_is_there_does_not_count():
    assert rules(MAKE, WRITE, SYNC, SYNC_NAME, LINK, TELL) == ["directory-synced"]


def test_a_file_without_a_name_is_refused_as_btrfs_loses_it():
    nameless = MAKE._replace(flags="O_TMPFILE|O_EXCL")
    assert rules(nameless, WRITE, SYNC, LINK, SYNC_NAME, TELL) == ["exclusive"]


def test_what_is_made_in_pending_itself_is_to_be_synced_as_well():
    make = MAKE._replace(path=LINK.target)
    write, sync = WRITE._replace(path=LINK.target), SYNC._replace(path=LINK.target)
    assert rules(make, write, sync, SYNC_NAME, TELL) == ["whole"]
    assert rules(make, write, TELL) == ["whole", "synced", "directory-synced"]
    assert rules(make._replace(flags="O_CREAT|O_TRUNC"), write, sync, SYNC_NAME, TELL) == [
        "whole",
        "no-replace",
    ]
