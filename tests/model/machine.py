"""The machine under the protocol: names, files, directories, locks, processes, kill -9.

Each method that a routine can ask for (see `calls`) is one atomic step, as the kernel makes it.
Assumed: rename is atomic; flock belongs to an open file description, which children inherit;
the kernel frees locks when the last holder ends. Left out: power loss, which has its own tests.
A file is its content. Only lock files have an identity of their own (`names.LockFile`).
"""

from typing import Any, Callable, Dict, FrozenSet, Iterator, List, NamedTuple, Optional, Set, Tuple

from . import routine
from .hosts import GUARDS, Hosts, Shared
from .names import HalfWritten, Job, LockFile, parse, split


class Opened(NamedTuple):
    """An open file description: which lock file, how it is locked, who holds it open."""

    file: LockFile
    mode: str  # "", "shared" or "exclusive"
    holders: FrozenSet[str]


class Process(NamedTuple):
    """A living process; ``run`` is the claim it works for, as its cookie says if it has one."""

    program: int
    run: str = ""
    cookie: bool = True


class State(Shared):
    """One state of the machine; `copy` it before a step."""

    __slots__ = (
        "files",
        "dirs",
        "opened",
        "processes",
        "clocks",
        "started",
        "results",
        "undone",
        "hosts",
    )

    def __init__(self) -> None:
        self.files: Dict[str, Any] = {}
        self.dirs: Set[str] = set()
        self.opened: Dict[str, Opened] = {}
        self.processes: Dict[str, Process] = {}
        self.clocks: Dict[str, int] = {}
        self.started: FrozenSet[str] = frozenset()  # every run ever started, by its claim
        self.results: Dict[str, str] = {}  # runs that came to their own end
        self.undone = ""  # a recorded outcome that was written over
        self.hosts = Hosts()

    def copy(self) -> "State":
        """Return a copy that can be changed."""
        other = State.__new__(State)
        other.files = self.files.copy()
        other.dirs = self.dirs.copy()
        other.opened = self.opened.copy()
        other.processes = self.processes.copy()
        other.clocks = self.clocks.copy()
        other.started = self.started
        other.results = self.results.copy()
        other.undone = self.undone
        other.hosts = self.hosts
        return other

    def fingerprint(self) -> int:
        """Return a 64-bit hash: equal states have equal ones."""
        return hash(
            (
                frozenset(self.files.items()),
                frozenset(self.dirs),
                frozenset(self.opened.items()),
                frozenset(self.processes.items()),
                frozenset(self.clocks.items()),
                self.started,
                frozenset(self.results.items()),
                self.undone,
                self.hosts,
            )
        )

    # ---- processes

    def launch(self, name: str, what: routine.Routine, *args: Any) -> None:
        """Start a process that belongs to no run."""
        self.processes[name] = Process(routine.begin(what, *args))
        self._settle(name)

    def exit(self, name: str) -> None:
        """End a process, by its own end or by kill -9: its descriptors close, its children live.

        A thread only stops. The threads of a process end with it.
        """
        del self.processes[name]
        if "+" in name:
            return
        for thread in [n for n in self.processes if n.startswith(f"{name}+")]:
            del self.processes[thread]
        for descriptor in [d for d, o in self.opened.items() if name in o.holders]:
            self.close(name, descriptor)

    def choices(self, name: str) -> Tuple[Any, ...]:
        """Return what the process can do now: one entry a way to go, none if it must wait."""
        if self.hangs(name):
            return ()
        wanted = routine.request(self.processes[name].program)
        if isinstance(wanted, routine.Choose):
            return wanted.options
        assert isinstance(wanted, routine.Op)
        guard = _GUARDS.get(wanted.name)
        return (None,) if guard is None or guard(self, *wanted.args) else ()

    def step(self, name: str, choice: Any = None) -> Any:
        """Let a process make one step; return the answer that it got."""
        wanted = routine.request(self.processes[name].program)
        if isinstance(wanted, routine.Choose):
            result = choice
        else:
            assert isinstance(wanted, routine.Op)
            call = getattr(self, wanted.name)
            result = call(name.partition("+")[0], *wanted.args)
        self._answer(name, result)
        return result

    def _answer(self, name: str, value: Any) -> None:
        process = self.processes.get(name)
        if process is not None:  # it may have ended itself
            self.processes[name] = process._replace(program=routine.answer(process.program, value))
            self._settle(name)

    def _settle(self, name: str) -> None:
        """Reap a process that is over; hand out the time, which nobody else can see."""
        wanted = routine.request(self.processes[name].program)
        if isinstance(wanted, routine.End):
            self.exit(name)
        elif isinstance(wanted, routine.Op) and wanted.name == "now":
            self._answer(name, self.now(name.partition("+")[0]))

    def now(self, me: str) -> str:
        """Answer a time of this process's clock, new at every look."""
        self.clocks[me] = self.clocks.get(me, 0) + 1
        return f"{me}t{self.clocks[me]}"

    def spawn(
        self,
        me: str,
        name: str,
        run: str,
        inherit: Tuple[str, ...],
        cookie: bool,
        what: routine.Routine,
        args: Tuple[Any, ...],
    ) -> str:
        """Start a process of a run that inherits descriptors; answer its name."""
        self.started |= {run}
        for descriptor in inherit:
            opened = self.opened[descriptor]
            self.opened[descriptor] = opened._replace(holders=opened.holders | {name})
        self.processes[name] = Process(routine.begin(what, *args), run, cookie)
        self._settle(name)
        return name

    def thread(self, me: str, name: str, what: routine.Routine, args: Tuple[Any, ...]) -> None:
        """Start a thread."""
        self.processes[name] = Process(routine.begin(what, *args))
        self._settle(name)

    def join(self, me: str, process: str) -> None:
        """Only wait."""

    def ended(self, me: str, run: str, result: str) -> None:
        """Note how a command came to its own end."""
        self.results[run] = result

    def wait(self, me: str, process: str) -> str:
        """Answer how a process ended; its name is ``command of RUN``."""
        return self.results.get(process[len("command of ") :], "killed")

    def wait_or_path(self, me: str, process: str, path: str) -> str:
        """Answer how a process ended, or "asked" if it runs and the path is there."""
        return "asked" if process in self.processes else self.wait(me, process)

    def wait_until_gone(self, me: str, path: str) -> None:
        """Only wait."""

    def wait_for_ever(self, me: str) -> None:
        """Only wait."""

    def processes_of(
        self, me: str, run: str, slot_file: str, in_session_only: bool
    ) -> Tuple[str, ...]:
        """Answer who can be seen to belong to a run."""
        lock = self.files.get(slot_file)
        heirs = {h for o in self.opened.values() if o.file == lock for h in o.holders}
        found = []
        for name, process in sorted(self.processes.items()):
            if in_session_only and name.startswith("helper"):
                continue  # it made a session of its own
            if (process.run == run and process.cookie) or (process.run and name in heirs):
                found.append(name)
        return tuple(found)

    def kill(self, me: str, process: str) -> None:
        """End one process, if it is still there."""
        if process in self.processes:
            self.exit(process)

    # ---- files

    def _has_directory(self, path: str) -> bool:
        """State directories are always there; those of workers come and go."""
        directory = split(path)[0]
        return directory.count("/") == 0 or directory in self.dirs

    def _below(self, directory: str) -> List[str]:
        prefix = directory + "/"
        return [f for f in self.files if f.startswith(prefix)]

    def create(self, me: str, path: str, content: Any) -> str:
        """Answer "ok", "ENOENT" (no such directory) or "EEXIST"."""
        if not self._has_directory(path):
            return "ENOENT"
        if path in self.files:
            return "EEXIST"
        self.files[path] = content
        return "ok"

    def rename(self, me: str, source: str, target: str) -> str:
        """Answer "ok" or "ENOENT"."""
        if source in self.dirs:
            for path in self._below(source):
                self.files[target + path[len(source) :]] = self.files.pop(path)
            self.dirs.remove(source)
            self.dirs.add(target)
            return "ok"
        if source not in self.files or not self._has_directory(target):
            return "ENOENT"
        moved, replaced = self.files.pop(source), self.files.get(target)
        if isinstance(replaced, Job) and not (isinstance(moved, Job) and moved.goes_on(replaced)):
            self.undone = target
        self.files[target] = moved
        return "ok"

    def rename_unheard(self, me: str, source: str, target: str) -> str:
        """Answer "ENOENT" though it was done."""
        self.rename(me, source, target)
        return "ENOENT"

    def rename_new(self, me: str, source: str, target: str) -> str:
        """Answer "ok", "ENOENT" or "EEXIST"."""
        if source in self.files and target in self.files:
            return "EEXIST"
        return self.rename(me, source, target)

    def link(self, me: str, source: str, target: str) -> str:
        """Answer "ok", "ENOENT" or "EEXIST"."""
        if source not in self.files:
            return "ENOENT"
        return self.create(me, target, self.files[source])

    def unlink(self, me: str, path: str) -> str:
        """Answer "ok" or "ENOENT"."""
        return "ENOENT" if self.files.pop(path, None) is None else "ok"

    def mkdir(self, me: str, path: str) -> None:
        """Make a directory."""
        self.dirs.add(path)

    def rmdir(self, me: str, path: str) -> str:
        """Answer "ok", "ENOENT" or "ENOTEMPTY"."""
        if path not in self.dirs:
            return "ENOENT"
        if self._below(path):
            return "ENOTEMPTY"
        self.dirs.remove(path)
        return "ok"

    def listdir(self, me: str, path: str) -> Tuple[str, ...]:
        """Answer the sorted names of the files, or of the directories, right below a path."""
        prefix = path + "/"
        return tuple(
            sorted(
                entry[len(prefix) :]
                for entry in _chain(self.files, self.dirs)
                if entry.startswith(prefix) and "/" not in entry[len(prefix) :]
            )
        )

    def inodes(self, me: str, path: str) -> Tuple[Tuple[str, Any], ...]:
        """Answer names and contents."""
        return tuple((n, self.files[f"{path}/{n}"]) for n in self.listdir(me, path))

    def listdir_slowly(self, me: str, path: str, since: Tuple[Any, ...]) -> Tuple[str, ...]:
        """Answer the names of a first look whose file is still the same one."""
        return tuple(name for name, was in since if self.files.get(f"{path}/{name}") == was)

    def read(self, me: str, path: str) -> Any:
        """Answer a file's content, or None."""
        return self.files.get(path)

    def exists(self, me: str, path: str) -> bool:
        """Answer whether a name is there."""
        return path in self.files

    def complete(self, me: str, half: HalfWritten, job: Any) -> None:
        """Fill a half-written file wherever it lies, if it still does."""
        for path, content in self.files.items():
            if content == half:
                self.files[path] = job
                return

    # ---- locks

    def open_lock(self, me: str, path: str, create: bool) -> Optional[str]:
        """Answer a descriptor, or None where the file (or its directory) is missing."""
        if path not in self.files:
            if not create or not self._has_directory(path):
                return None
            alive = {o.file for o in self.opened.values()} | set(self.files.values())
            number = 0
            while LockFile(path, number) in alive:
                number += 1
            self.files[path] = LockFile(path, number)
        number = 0
        while f"{me}#{number}" in self.opened:
            number += 1
        descriptor = f"{me}#{number}"
        self.opened[descriptor] = Opened(self.files[path], "", frozenset((me,)))
        return descriptor

    def flock(self, me: str, descriptor: str, shared: bool) -> bool:
        """Answer whether the lock was got."""
        if not self.can_lock(descriptor, shared):
            return False
        mode = "shared" if shared else "exclusive"
        self.opened[descriptor] = self.opened[descriptor]._replace(mode=mode)
        return True

    def flock_wait(self, me: str, descriptor: str) -> bool:
        """Answer True; it is asked only when the lock is free."""
        return self.flock(me, descriptor, False)

    def can_lock(self, descriptor: str, shared: bool = False) -> bool:
        """Say whether no other description's lock is in the way."""
        file = self.opened[descriptor].file
        return not any(
            other.file == file and (other.mode == "exclusive" or (other.mode and not shared))
            for name, other in self.opened.items()
            if name != descriptor
        )

    def close(self, me: str, descriptor: str) -> None:
        """Close a descriptor for one process."""
        opened = self.opened.get(descriptor)
        if opened is None or me not in opened.holders:
            return
        if len(opened.holders) == 1:
            del self.opened[descriptor]
        else:
            self.opened[descriptor] = opened._replace(holders=opened.holders - {me})

    def break_locks(self, me: str, process: str) -> None:
        """Take every lock from a process."""
        for name, opened in self.opened.items():
            if process in opened.holders:
                self.opened[name] = opened._replace(mode="")

    # ---- what the invariants look at

    def places(self, states: Tuple[str, ...]) -> Iterator[Tuple[str, Any]]:
        """Iterate over the files of some directories: path and content."""
        for path, content in self.files.items():
            if split(path)[0] in states:
                yield path, content

    def live_runs(self) -> Dict[str, Set[str]]:
        """Return the runs of each job id of which a process is alive."""
        runs: Dict[str, Set[str]] = {}
        for process in self.processes.values():
            if process.run:
                claim = parse(process.run)
                assert claim is not None
                runs.setdefault(claim.job, set()).add(process.run)
        return runs


def _chain(*groups: Any) -> Iterator[str]:
    for group in groups:
        yield from group


_GUARDS: Dict[str, Callable[..., bool]] = {
    "wait": lambda state, process: process not in state.processes,
    "wait_or_path": lambda state, process, path: (
        process not in state.processes or path in state.files
    ),
    "join": lambda state, process: not any(n.startswith(f"{process}+") for n in state.processes),
    "wait_until_gone": lambda state, path: path not in state.files,
    "wait_for_ever": lambda state: False,
    "flock_wait": lambda state, descriptor: state.can_lock(descriptor),
    **GUARDS,
}
