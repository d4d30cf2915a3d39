"""Two kinds of process: the one that has imported the code, and those that it forks to make calls.

    python -m spoolq.executors.zygote DESCRIPTOR RUNS MODULE...

The zygote imports the modules, then forks a child for each socket that comes in over its own. It
makes no call itself and has one thread alone, so what it forks is whole. A child makes one call
after another: each comes as a length, the variables of the run, and descriptors (its log, and the
locks of its slot and its tokens, which the child holds as long as the run lives and no longer); its
end goes back as `end CODE`. That a child has died, and how, is told by the zygote in its place, as
`died CODE UNREAD`, which also says whether a run was sent to it that it never took. Each line is on
the child's own socket, so one order holds for all that is said of it.

When the worker dies, its ends of the sockets close: the zygote leaves, and a child after its call.
"""

from __future__ import annotations

import array
import gc
import os
import select
import signal
import socket
import struct
import sys
import threading
from typing import Any, Dict, Iterable, List, NoReturn, Tuple

from spoolq import call, config, platform

HEADER = struct.Struct("!I")
MOST = 32 * 1024  #: bytes of variables that a child is sent
MOST_LOCKS = 64  #: descriptors of locks that a child is sent; the kernel takes 253
_AT_ONCE = 65536
_HANDLED = [
    getattr(signal, f"SIG{name}") for name in "HUP INT TERM ALRM CHLD USR1 USR2 PIPE".split()
]


def main(arguments: List[str]) -> int:
    """Be the zygote until the worker lets go of it."""
    control = socket.socket(fileno=int(arguments[0]))
    control.set_inheritable(False)
    refusal = _import(arguments[2:])
    if refusal:
        control.sendall(f"failed {refusal}\n".encode("utf-8", "replace"))
        return 1
    sys.argv = [call.__file__]
    platform.prepare()
    gc.collect()
    gc.freeze()  # what all children share stays shared
    control.sendall(b"ready\n")
    _Zygote(control, int(arguments[1])).run()
    return 0


def _import(modules: Iterable[str]) -> str:
    """Import what is to be there from the beginning; return why that cannot be, or nothing."""
    from importlib import import_module

    for module in modules:
        try:
            import_module(module)
        except BaseException as error:
            if not isinstance(error, ModuleNotFoundError) or error.name is None:
                call.tell(error)
            elif module != error.name and not module.startswith(error.name + "."):
                call.tell(error)  # of something that it imports
            return f"{module} cannot be imported: {type(error).__name__}: {error}".splitlines()[0]
        if threading.active_count() > 1:
            names = ", ".join(one.name for one in threading.enumerate()[1:])
            return f"{module} starts a thread when it is imported ({names}), and no fork has it"
    return ""


class _Zygote:
    def __init__(self, control: socket.socket, runs: int) -> None:
        self._control = control
        self._runs = runs
        self._children: Dict[int, socket.socket] = {}
        self._awake, self._wake = socket.socketpair()
        self._wake.setblocking(False)
        self._awake.setblocking(False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._wake.fileno(), warn_on_full_buffer=False)

    def run(self) -> None:
        """Fork what is asked for, and tell of deaths."""
        while True:
            ready, _, _ = select.select([self._control, self._awake], [], [])
            if self._awake in ready:
                self._awake.recv(_AT_ONCE)
                self._bury()
            if self._control in ready:
                asked, descriptors = receive(self._control, 1, 1)
                if not asked:
                    signal.set_wakeup_fd(-1)  # children that leave now are nobody's affair
                    return
                for descriptor in descriptors:
                    self._fork(socket.socket(fileno=descriptor))

    def _fork(self, own: socket.socket) -> None:
        own.set_inheritable(False)
        pid = os.fork()
        if pid:
            self._children[pid] = own
            return
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            for other in (self._control, self._awake, self._wake, *self._children.values()):
                other.close()
            _Child(own, self._runs).run()
        except BaseException as error:
            call.tell(error)
        finally:
            os._exit(1)

    def _bury(self) -> None:
        while self._children:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if not pid:
                return
            child = self._children.pop(pid, None)
            if child is None:
                continue  # a module has started it when it was imported
            with child as own:
                # RACE: the worker may be giving it a run just now. From here on that is refused,
                # and what came before has not been read: that run never began
                # (test_a_run_that_was_given_to_a_process_that_had_died_never_began).
                own.shutdown(socket.SHUT_RD)
                unread = bool(own.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT))
                try:
                    own.sendall(b"died %d %d\n" % (exit_code(status), unread))
                except OSError:
                    pass  # nobody is there to hear it


class _Child:
    """A process that makes calls, each in an environment of its own."""

    def __init__(self, own: socket.socket, runs: int) -> None:
        os.setsid()
        platform.adopt_orphans()  # so that a daemon of a call is seen to be left
        self._own = own
        self._pid = os.getpid()
        self._runs = runs
        self._null = os.open(os.devnull, os.O_RDWR)
        for descriptor in (0, 1, 2):
            os.dup2(self._null, descriptor)
        for stream in (sys.stdout, sys.stderr):
            getattr(stream, "reconfigure", lambda **_: None)(line_buffering=True)
        self._environment = dict(os.environb)
        self._directory = os.open(".", os.O_RDONLY)
        self._mask = os.umask(0)
        os.umask(self._mask)
        self._streams = sys.stdin, sys.stdout, sys.stderr
        self._handlers = [signal.getsignal(number) for number in _HANDLED]

    def run(self) -> None:
        """Make calls until there are no more, or this process is not as it was."""
        self._own.sendall(f"born {self._pid} {platform.uptime()}\n".encode("ascii"))
        for left in reversed(range(self._runs)):
            variables, descriptors = _next(self._own)
            if not descriptors:
                os._exit(0)  # the worker has gone
            log, *held = descriptors
            code = self._make(variables, log)
            if not left or not self._is_as_it_was():
                self._leave(code)
            try:
                self._come_home(held)
                self._own.sendall(b"end %d\n" % code)
            except OSError:  # the call has closed what was not its own, or the worker has gone
                os._exit(code)

    def _make(self, variables: Dict[bytes, bytes], log: int) -> int:
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.close(log)
        os.environb.update(variables)
        code = call.perform(config.environment())
        _flush()
        if os.getpid() != self._pid:
            os._exit(code)  # a process that the call has forked, and that has come back here
        return code

    def _come_home(self, held: List[int]) -> None:
        """Undo what belonged to the run; its locks last, and before its end is told."""
        os.fchdir(self._directory)
        os.umask(self._mask)
        now = dict(os.environb)
        for name in now.keys() - self._environment.keys():
            del os.environb[name]
        for name, value in self._environment.items():
            if now.get(name) != value:
                os.environb[name] = value
        os.dup2(self._null, 1)
        os.dup2(self._null, 2)
        for descriptor in held:
            os.close(descriptor)

    def _is_as_it_was(self) -> bool:
        """Say whether the call has left nothing behind that would be part of the next one.

        A thread, a process or a timer would act in the next run's name, and end with it.
        """
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass  # it had ended, and nobody waited for it
            return False
        except ChildProcessError:
            pass
        return (
            threading.active_count() == 1
            and not any(signal.setitimer(signal.ITIMER_REAL, 0))
            and (sys.stdin, sys.stdout, sys.stderr) == self._streams
            and not sys.stdout.closed
            and not sys.stderr.closed
            and [signal.getsignal(number) for number in _HANDLED] == self._handlers
        )

    def _leave(self, code: int) -> NoReturn:
        """End this process, and with it the run, as Python ends: threads are waited for."""
        for thread in threading.enumerate():
            if thread is not threading.current_thread() and not thread.daemon:
                thread.join()
        _flush()
        os._exit(code)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            pass  # the disk is full, or it is closed


def exit_code(status: int) -> int:
    """Return an exit code, or minus the signal, of what waitpid says."""
    return -os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)


# --- what goes over the sockets -------------------------------------------------------------------


def receive(source: socket.socket, size: int, most: int) -> Tuple[bytes, List[int]]:
    """Receive so many bytes at most, and descriptors."""
    found = array.array("i")
    data, control, _, _ = source.recvmsg(size, socket.CMSG_SPACE(most * found.itemsize))
    for level, kind, content in control:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            found.frombytes(content[: len(content) - len(content) % found.itemsize])
    return data, [*found]


def send(target: socket.socket, data: bytes, descriptors: Iterable[int]) -> None:
    """Send bytes, and with the first of them descriptors.

    Raises:
        OSError: nobody is there any more.
    """
    rights = array.array("i", descriptors)
    target.sendmsg([data], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])


def packed(variables: Dict[bytes, bytes]) -> bytes:
    """Return the variables of a run as they are sent."""
    data = b"\0".join(name + b"=" + value for name, value in variables.items())
    return HEADER.pack(len(data)) + data


def _next(own: socket.socket) -> Tuple[Dict[bytes, bytes], Any]:
    """Return the variables and the descriptors of the next run; no descriptors: there is none."""
    data, descriptors = receive(own, HEADER.size + MOST, 1 + MOST_LOCKS)
    if len(descriptors) < 2:
        return {}, ()
    while len(data) < HEADER.size or len(data) < HEADER.size + HEADER.unpack_from(data)[0]:
        more = own.recv(_AT_ONCE)
        if not more:
            return {}, ()
        data += more
    pairs = (part.partition(b"=") for part in data[HEADER.size :].split(b"\0"))
    return {name: value for name, _, value in pairs}, descriptors


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
