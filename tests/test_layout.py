"""Where everything is, and how a spool is made: modes, owners, umasks, and two at once."""

import errno
import grp
import json
import os
import shutil
import stat
from pathlib import Path

import pytest

from spoolq import Spool, config, platform, trust
from spoolq.errors import (
    BadInput,
    InvalidSetting,
    NoSpool,
    StorageFailed,
    StorageFull,
    UnsafeSpool,
)
from spoolq.fsio import Dir
from spoolq.layout import DIRECTORIES, README, Layout, storage_error, words
from tests.conftest import REPOSITORY
from tests.recording import Recording, unsafe_steps
from tests.users import NUMBER, ROOT, home, private_user, run_as  # noqa: F401

UMASKS = [0o000, 0o002, 0o022, 0o077, 0o777]
FILES = {"README", config.FILE}


@pytest.fixture
def layout(tmp_path):
    made = Layout.create(str(tmp_path / "spool"))
    yield made
    made.close()


def modes(path):
    """The mode of everything in a spool, by its path in it."""
    found = {".": oct(stat.S_IMODE(os.lstat(path).st_mode))}
    for here, directories, files in os.walk(path):
        for name in directories + files:
            full = os.path.join(here, name)
            found[os.path.relpath(full, path)] = oct(stat.S_IMODE(os.lstat(full).st_mode))
    return found


def expected_modes(directory_mode, file_mode, *more_files):
    found = {name: oct(directory_mode) for name in (".", *DIRECTORIES)}
    found.update({name: oct(file_mode) for name in (*FILES, *more_files)})
    return found


def make_and_use(path, group=None):
    """Make a spool as `init` does, check it as a worker does, put a job into it."""
    Layout.create(path, group).close()
    trust.require_safe(path, DIRECTORIES, group)
    with Spool(path) as spool:
        spool.enqueue("true", id="job")
    return [
        f"{directory}/{name}"
        for directory in ("pending", "tmp")  # the job, and what is noted beside it
        for name in os.listdir(os.path.join(path, directory))
    ]


class TestInit:
    """Modes are 0700 and 0600 whatever the umask, which is left as it is."""

    @pytest.mark.parametrize("umask", UMASKS, ids=oct)
    def test_a_spool_is_for_its_maker_alone_whatever_the_umask(self, tmp_path, umask):
        path = str(tmp_path / "above" / "more" / "spool")
        made = run_as(lambda: make_and_use(path), umask=umask)
        assert modes(path) == expected_modes(0o700, 0o600, *made)

    @ROOT
    @pytest.mark.parametrize("umask", UMASKS, ids=oct)
    def test_it_is_so_for_an_ordinary_user_too(self, home, umask):  # noqa: F811
        path = os.path.join(home(NUMBER, NUMBER), "above", "more", "spool")
        made = run_as(lambda: make_and_use(path), NUMBER, NUMBER, umask)
        assert modes(path) == expected_modes(0o700, 0o600, *made)
        assert {os.lstat(os.path.join(path, name)).st_uid for name in modes(path)} == {NUMBER}

    @pytest.mark.parametrize("umask", UMASKS, ids=oct)
    def test_what_it_makes_above_is_written_by_nobody_else(self, tmp_path, umask):
        run_as(lambda: Layout.create(str(tmp_path / "a" / "b" / "spool")).close(), umask=umask)
        for name in ("a", "a/b"):
            mode = stat.S_IMODE((tmp_path / name).stat().st_mode)
            assert mode & 0o722 == 0o700
            assert mode & 0o055 == 0o055 & ~umask

    def test_a_second_time_it_mends_the_modes_and_keeps_the_rest(self, tmp_path):
        path = str(tmp_path / "spool")
        made = make_and_use(path)
        (tmp_path / "spool" / "config.json").write_text('{"grace": 1}')
        os.rmdir(tmp_path / "spool" / "dead")
        for name in (".", "pending", "workers"):
            os.chmod(os.path.join(path, name), 0o777)
        Layout.create(path).close()
        assert modes(path) == expected_modes(0o700, 0o600, *made)
        assert (tmp_path / "spool" / "config.json").read_text() == '{"grace": 1}'

    def test_a_spool_that_a_crash_left_half_made_is_completed(self, tmp_path):
        path = tmp_path / "spool"
        (path / "tmp").mkdir(parents=True)
        (path / "tmp" / "README.abc").write_text("This dir")
        Layout.create(str(path)).close()
        assert sorted(os.listdir(path)) == sorted([*DIRECTORIES, *FILES])

    def test_a_directory_with_other_things_is_not_made_a_spool(self, tmp_path):
        (tmp_path / "thesis.tex").write_text("")
        before = modes(tmp_path)
        with pytest.raises(BadInput, match="not empty and not a spool"):
            Layout.create(str(tmp_path))
        assert modes(tmp_path) == before

    def test_a_file_in_the_place_of_the_spool_is_an_error_of_ours(self, tmp_path):
        (tmp_path / "spool").write_text("")
        for path in ("spool", "spool/inside"):
            with pytest.raises(StorageFailed):
                Layout.create(str(tmp_path / path))

    def test_a_link_in_the_place_of_a_directory_is_refused(self, layout, tmp_path):
        os.rmdir(os.path.join(layout.path, "dead"))
        (tmp_path / "elsewhere").mkdir(mode=0o755)
        os.symlink(tmp_path / "elsewhere", os.path.join(layout.path, "dead"))
        with pytest.raises(StorageFailed):
            Layout.create(layout.path)
        assert stat.S_IMODE((tmp_path / "elsewhere").stat().st_mode) == 0o755

    def test_many_may_make_one_spool_at_once(self, tmp_path):
        for number in range(5):
            path = str(tmp_path / f"spool{number}")
            made = _at_once(8, lambda path=path: Spool(path, create=True).enqueue("true"))
            assert len(set(made)) == 8
            assert len(os.listdir(os.path.join(path, "pending"))) == 8
            assert modes(path)["pending"] == "0o700"
            assert os.listdir(os.path.join(path, "tmp")) == [".last"]
            assert config.read((tmp_path / f"spool{number}" / "config.json").read_bytes())

    def test_who_sees_pending_sees_a_whole_spool(self, tmp_path, monkeypatch):
        seen = []
        real = os.mkdir

        def mkdir(path, *args, **kwargs):
            if path == "pending":
                seen.extend(os.listdir(tmp_path / "spool"))
            return real(path, *args, **kwargs)

        monkeypatch.setattr(os, "mkdir", mkdir)
        Layout.create(str(tmp_path / "spool")).close()
        assert sorted([*seen, "pending"]) == sorted([*DIRECTORIES, *FILES])

    def test_the_settings_of_a_new_spool_survive_a_power_cut(self, tmp_path, monkeypatch):
        recording = Recording(monkeypatch)
        Layout.create(str(tmp_path / "spool")).close()
        assert unsafe_steps(recording.journal) == []

    @pytest.mark.parametrize("left_out", ["fdatasync", "fsync"])
    def test_the_check_notices_a_sync_that_is_left_out(self, tmp_path, left_out, monkeypatch):
        recording = Recording(monkeypatch, without=[left_out])
        Layout.create(str(tmp_path / "spool")).close()
        assert unsafe_steps(recording.journal) != []

    def test_without_directory_descriptors_it_is_made_too(self, tmp_path, monkeypatch):
        monkeypatch.setattr(platform, "HAS_DIR_FD", False)
        monkeypatch.setattr(platform, "can_sync_directories", lambda: False)
        monkeypatch.setattr(platform, "rename_noreplace", lambda *_: False)
        made = make_and_use(str(tmp_path / "spool"))
        assert set(modes(str(tmp_path / "spool"))) == set(expected_modes(0, 0, *made))


def _at_once(count, function):
    """Call a function in many processes that start together."""
    children = []
    gate, open_gate = os.pipe()
    for _ in range(count):
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                os.close(open_gate)
                os.read(gate, 1)
                try:
                    answer = function()
                except BaseException as error:
                    answer = repr(error)
                os.write(writing, json.dumps(answer).encode())
            finally:
                os._exit(0)
        os.close(writing)
        children.append((child, reading))
    os.close(gate)
    os.close(open_gate)
    answers = []
    for child, reading in children:
        with open(reading) as pipe:
            answers.append(json.load(pipe))
        os.waitpid(child, 0)
    return answers


@ROOT
class TestOtherUsers:
    """What root and the members of a group leave in a spool that is another's."""

    def test_what_root_enqueues_can_be_run_by_the_owner(self, home):  # noqa: F811
        path = os.path.join(home(NUMBER, NUMBER), "spool")
        run_as(lambda: make_and_use(path), NUMBER, NUMBER)
        with Spool(path) as spool:
            spool.enqueue("true", id="from-root")
        spool_modes = modes(path)
        for name in spool_modes:
            info = os.lstat(os.path.join(path, name))
            assert (info.st_uid, info.st_gid) == (NUMBER, NUMBER), name
        texts = run_as(
            lambda: [Path(path, name).read_text() for name in spool_modes if "from-root" in name],
            NUMBER,
            NUMBER,
        )
        assert len(texts) == 1

    def test_what_root_completes_stays_the_owners(self, home):  # noqa: F811
        path = os.path.join(home(NUMBER, NUMBER), "spool")
        run_as(lambda: make_and_use(path), NUMBER, NUMBER)
        os.unlink(os.path.join(path, "config.json"))
        os.rmdir(os.path.join(path, "dead"))
        Layout.create(path).close()
        assert {os.lstat(os.path.join(path, name)).st_uid for name in modes(path)} == {NUMBER}

    def test_the_members_of_a_group_may_submit_and_nobody_else(self, home):  # noqa: F811
        group = next(one for one in grp.getgrall() if one.gr_gid != 0)
        path = os.path.join(home(0, 0, 0o755), "spool")
        run_as(lambda: Layout.create(path, group.gr_name).close(), umask=0o077)
        assert modes(path) == expected_modes(0o2770, 0o660)
        assert {os.lstat(os.path.join(path, name)).st_gid for name in modes(path)} == {group.gr_gid}
        assert json.loads(Path(path, "config.json").read_text())["group"] == group.gr_name

        def submit():
            with Spool(path) as spool:
                return spool.enqueue("true")

        member = run_as(submit, NUMBER, NUMBER, 0o077, groups=[group.gr_gid])
        (job,) = os.listdir(os.path.join(path, "pending"))
        assert member in job
        info = os.lstat(os.path.join(path, "pending", job))
        assert (info.st_uid, info.st_gid) == (NUMBER, group.gr_gid)
        assert stat.S_IMODE(info.st_mode) == 0o660
        trust.require_safe(path, DIRECTORIES, group.gr_name)
        with pytest.raises(UnsafeSpool):
            trust.require_safe(path, DIRECTORIES, None)

        def refused():
            try:
                submit()
            except (StorageFailed, NoSpool) as error:
                return type(error).__name__

        assert run_as(refused, NUMBER + 1, NUMBER + 1) in ("StorageFailed", "NoSpool")

    @pytest.mark.parametrize("umask", UMASKS, ids=oct)
    def test_a_clone_that_its_users_own_group_may_write_is_safe(
        self,
        home,  # noqa: F811
        private_user,  # noqa: F811
        umask,
    ):
        uid, gid = private_user.pw_uid, private_user.pw_gid
        clone = os.path.join(home(uid, gid, 0o775), "clone")

        def work():
            os.mkdir(clone)
            os.chmod(clone, 0o775)
            return make_and_use(os.path.join(clone, "spool"))

        made = run_as(work, uid, gid, umask)
        assert modes(os.path.join(clone, "spool")) == expected_modes(0o700, 0o600, *made)

    def test_a_group_that_no_table_knows_is_nobodys_own(self, home):  # noqa: F811
        path = home(NUMBER, NUMBER, 0o770)

        def work():
            try:
                make_and_use(os.path.join(path, "spool"))
            except UnsafeSpool as error:
                return str(error), error.hint

        text, hint = run_as(work, NUMBER, NUMBER)
        assert path in text
        assert hint == f"chmod g-w {path}"

    def test_without_the_right_to_write_it_is_an_error_of_ours(self, home):  # noqa: F811
        path = home(0, 0, 0o755)

        def work():
            try:
                Layout.create(os.path.join(path, "spool"))
            except StorageFailed as error:
                return str(error)

        assert path in run_as(work, NUMBER, NUMBER)


class TestOpening:
    """What is no spool, and what a spool lacks."""

    @pytest.mark.parametrize("name", ["nothing", ".", "file"])
    def test_what_is_no_spool_is_told(self, tmp_path, name):
        (tmp_path / "file").write_text("")
        with pytest.raises(NoSpool, match="no spool at"):
            Layout.open(str(tmp_path / name))
        assert os.listdir(tmp_path) == ["file"]

    def test_a_missing_directory_is_an_error_of_ours(self, layout):
        os.rmdir(os.path.join(layout.path, "dead"))
        with pytest.raises(StorageFailed, match="dead"):
            layout.dir("dead")

    def test_a_directory_is_opened_once(self, layout):
        assert layout.dir("pending") is layout.dir("pending")

    def test_it_may_be_closed_twice(self, layout):
        layout.dir("pending")
        layout.close()

    def test_without_config_there_are_no_bytes(self, layout):
        assert config.read(layout.config_bytes())[0] == config.Settings()
        layout.root.unlink("config.json")
        assert layout.config_bytes() is None

    @pytest.mark.skipif(platform.WINDOWS, reason="it is about POSIX file kinds")
    @pytest.mark.parametrize("make", ["mkdir", "mkfifo", "symlink"])
    def test_a_config_that_is_no_file_is_a_wrong_setting(self, layout, make):
        path = os.path.join(layout.path, "config.json")
        os.rename(path, path + ".old")
        {
            "mkdir": lambda: os.mkdir(path),
            "mkfifo": lambda: os.mkfifo(path),
            "symlink": lambda: os.symlink(path + ".old", path),
        }[make]()
        with pytest.raises(InvalidSetting, match="cannot be read"):
            layout.config_bytes()


class TestChanging:
    """The settings are replaced in one step; the bell leaves nothing."""

    def test_new_settings_replace_the_old_ones(self, layout):
        layout.write_config(config.write({"grace": 1}))
        assert config.read(layout.config_bytes())[0].grace == 1
        assert layout.dir("tmp").list() == []
        assert stat.S_IMODE(layout.root.stat("config.json").st_mode) == 0o600

    def test_they_survive_a_power_cut(self, layout, monkeypatch):
        recording = Recording(monkeypatch)
        layout.write_config(config.write({}))
        assert [event[0] for event in recording.journal] == [
            "write",
            "fdatasync",
            "rename",
            "fsync",
        ]
        assert unsafe_steps(recording.journal) == []

    @pytest.mark.parametrize("left_out", ["fdatasync", "fsync"])
    def test_the_check_notices_a_sync_that_is_left_out(self, layout, left_out, monkeypatch):
        recording = Recording(monkeypatch, without=[left_out])
        layout.write_config(config.write({}))
        assert len(unsafe_steps(recording.journal)) == 1

    @pytest.mark.parametrize("call", ["write", "fdatasync", "rename"])
    def test_a_full_disk_leaves_the_old_settings(self, layout, call, monkeypatch):
        before = layout.config_bytes()
        recording = Recording(monkeypatch)
        recording.fail(call, OSError(errno.ENOSPC, "no space"))
        with pytest.raises(StorageFull):
            layout.write_config(config.write({"grace": 1}))
        assert layout.config_bytes() == before

    def test_ringing_leaves_nothing_and_looks_like_no_job(self, layout, monkeypatch):
        made = []
        pending = layout.dir("pending")
        create = pending.create
        monkeypatch.setattr(pending, "create", lambda name: made.append(name) or create(name))
        layout.ring()
        assert pending.list() == []
        assert made[0].startswith(".")


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (errno.ENOSPC, StorageFull),
        (errno.EDQUOT, StorageFull),
        (errno.EIO, StorageFailed),
        (errno.EROFS, StorageFailed),
    ],
)
def test_what_the_filesystem_says_becomes_what_the_caller_can_do(code, kind):
    error = storage_error(OSError(code, "it said so", "pending/x"), "/spool")
    assert type(error) is kind
    assert str(error) == "it said so: /spool/pending/x"
    assert str(storage_error(OSError(code, "it said so"), "/spool")) == "it said so: /spool"


def test_the_readme_of_the_checkout_is_the_one_that_init_writes(layout):
    assert (REPOSITORY / "spool" / "README").read_text() == README
    assert layout.root.read("README", 4096)[0].decode() == README
    assert len(README.splitlines()) <= 10


class TestReplaced:
    """People clean up with rm -r and mkdir; whoever holds the spool open goes on with the new."""

    @pytest.mark.parametrize("name", DIRECTORIES)
    def test_a_directory_made_anew_is_the_one_that_is_used_from_then_on(self, layout, name):
        held = layout.dir(name)
        for other in DIRECTORIES:
            layout.dir(other)
        assert layout.reopen_replaced() == []
        descriptors = sorted(os.listdir("/proc/self/fd"))
        shutil.rmtree(os.path.join(layout.path, name))
        os.mkdir(os.path.join(layout.path, name))
        assert layout.reopen_replaced() == [name]
        held.write("x", b"new", sync=False)
        assert os.listdir(os.path.join(layout.path, name)) == ["x"]
        assert held.list() == ["x"]
        assert layout.dir(name) is held
        assert layout.reopen_replaced() == []
        assert sorted(os.listdir("/proc/self/fd")) == descriptors
        assert not os.get_inheritable(held.fd)

    def test_a_directory_that_is_missing_is_an_error_until_it_is_there_again(self, layout):
        layout.dir("logs")
        os.rmdir(os.path.join(layout.path, "logs"))
        for _ in range(2):
            with pytest.raises(FileNotFoundError):
                layout.reopen_replaced()
        os.mkdir(os.path.join(layout.path, "logs"))
        assert layout.reopen_replaced() == ["logs"]

    def test_without_directory_descriptors_nothing_has_to_be_opened(self, tmp_path, monkeypatch):
        monkeypatch.setattr(platform, "HAS_DIR_FD", False)
        monkeypatch.setattr(platform, "can_sync_directories", lambda: False)
        monkeypatch.setattr(platform, "rename_noreplace", lambda *_: False)
        layout = Layout.create(str(tmp_path / "spool"))
        layout.dir("logs")
        os.rmdir(os.path.join(layout.path, "logs"))
        os.mkdir(os.path.join(layout.path, "logs"))
        assert layout.reopen_replaced() == []
        layout.dir("logs").write("x", b"", sync=False)
        assert os.listdir(os.path.join(layout.path, "logs")) == ["x"]


def test_a_directory_on_another_filesystem_is_refused(tmp_path, monkeypatch):
    """No job could be moved there by a rename."""
    spool = Layout.create(str(tmp_path / "spool"))
    real = Dir.stat

    def stat(self, name="."):
        info = real(self, name)
        if self.path.endswith("/tmp"):
            info = os.stat_result((*info[:2], info.st_dev + 1, *info[3:]))
        return info

    monkeypatch.setattr(Dir, "stat", stat)
    with pytest.raises(StorageFailed, match="tmp/ is on another filesystem"):
        spool.dir("tmp")
    assert spool.dir("pending").list() == []
    spool.close()


def test_a_disk_that_does_not_answer_is_not_taken_for_no_spool(layout, monkeypatch):
    def fails(*_, **__):
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, "stat", fails)
        with pytest.raises(StorageFailed, match="Input/output error") as refusal:
            Layout.open(layout.path)
    assert "dmesg" in refusal.value.hint


@pytest.mark.parametrize(
    "error, said",
    [
        (
            OSError(errno.EIO, "Input/output error", "0.outcome"),
            "Input/output error: 0.outcome "
            "(the disk fails, or its filesystem has shut down: dmesg says why)",
        ),
        (OSError(errno.ENOSPC, "No space left on device"), "No space left on device"),
        (OSError("odd"), "odd"),
        (StorageFailed("as it is"), "as it is"),
    ],
    ids=["a disk that fails", "a full one", "without a number", "ours"],
)
def test_a_log_says_what_went_wrong_in_words(error, said):
    assert words(error) == said
