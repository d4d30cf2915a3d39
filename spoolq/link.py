"""A pipe to `spoolq receive` at a target: a process of this machine, ssh or spoolq itself.

Every wait has a bound, after which the process is killed, so that whatever hangs (a network, a
disk over there) ends as a lost connection. Of a batch whose answers did not come nothing is known.
"""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections import deque
from contextlib import contextmanager
from typing import BinaryIO, Deque, Iterator, List, Mapping, Optional, Sequence

from spoolq import platform, wire
from spoolq.errors import BadInput, SpoolqError, Unreachable
from spoolq.targets import Target
from spoolq.text import printable, shortened
from spoolq.wire import Answer, Garbled

_NOT_FOUND = 127  # the exit code of a shell for a program that it does not find
_SAID = 20  # lines of what a process complains of that are kept, and the length of each
_LINE = 500


class Link:
    """A conversation with one target, from its greeting on."""

    def __init__(
        self,
        target: Target,
        words: Sequence[str],
        forwarder: str,
        *,
        patience: float,
        environment: Optional[Mapping[str, str]] = None,
    ) -> None:
        """Start the process and hear its greeting.

        Args:
            words: the command, as `targets.command` has it.
            forwarder: the name of the worker that sends.
            patience: seconds to wait for an answer.

        Raises:
            Unreachable: nobody answers, or not now.
            BadInput: who answers will not take anything.
        """
        self._target = target
        self._patience = patience
        self._said: Deque[str] = deque(maxlen=_SAID)
        self._hung = False
        try:
            self._process = subprocess.Popen(
                words,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=environment,
                start_new_session=not platform.WINDOWS,  # Ctrl+C is for us, and ends a batch well
            )
        except OSError as error:
            raise BadInput(
                f"{words[0]} cannot be started: {error.strerror}", hint="is it installed?"
            ) from error
        assert self._process.stdin and self._process.stdout and self._process.stderr
        self._in: BinaryIO = self._process.stdin  # type: ignore[assignment]
        self._out: BinaryIO = self._process.stdout  # type: ignore[assignment]
        self._ear = threading.Thread(target=self._hear, args=(self._process.stderr,), daemon=True)
        self._ear.start()
        try:
            with self._bounded():
                self._send(wire.greeting("forward", worker=forwarder))
                wire.heard_greeting(self._out, "receive", noise=True)
        except Exception as error:
            raise self._failed(error) from error

    def exchange(self, lines: Sequence[bytes]) -> List[Answer]:
        """Send a batch of jobs and return the answers, in order.

        Raises:
            Unreachable: nobody answers; of none of them is it known what became of it.
            BadInput: who answers has refused to go on.
        """
        try:
            with self._bounded():
                self._send(b"".join(lines) + wire.end_line(len(lines)))
                return [wire.heard_answer(self._out) for _ in lines]
        except Exception as error:
            raise self._failed(error) from error

    def close(self) -> None:
        """End the conversation; who is over there finishes what it has in hand, and leaves."""
        for stream in (self._in, self._out):
            try:
                stream.close()
            except OSError:
                pass  # what was to be written cannot be any more
        try:
            self._process.wait(2.0)
        except subprocess.TimeoutExpired:
            self.kill()
            self._process.wait()
        self._ear.join(0.5)

    def kill(self) -> None:
        """End the process, and with it whatever waits for it; from any thread."""
        if platform.WINDOWS:
            self._process.kill()
            return
        try:
            os.killpg(self._process.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            pass  # it has ended

    # --- inside -----------------------------------------------------------------------------------

    @contextmanager
    def _bounded(self) -> Iterator[None]:
        """Kill the process if the body takes longer than there is patience for."""

        def give_up() -> None:
            self._hung = True
            self.kill()

        timer = threading.Timer(self._patience, give_up)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def _send(self, data: bytes) -> None:
        try:
            self._in.write(data)
            self._in.flush()
        except BrokenPipeError:
            pass  # who hears no more may have said why, which is read next

    def _hear(self, stream: BinaryIO) -> None:
        """Keep the last of what the process complains of."""
        with stream:
            for line in iter(lambda: stream.readline(_LINE), b""):
                text = printable(line.decode("utf-8", "replace").strip())
                if text:
                    self._said.append(text)

    def _failed(self, error: Exception) -> Exception:
        """End what has failed, and return why, as who forwards can deal with it."""
        try:
            self._process.wait(1.0)  # it mostly has ended, and its exit code says why
        except subprocess.TimeoutExpired:
            self.kill()
        self.close()
        name = self._target.text
        if isinstance(error, Garbled):
            return Unreachable(
                f"what answers at {name} is no spoolq: {printable(str(error))}",
                hint="what does its shell print at the start?  Only spoolq may write there",
            )
        if isinstance(error, SpoolqError):
            kind = Unreachable if isinstance(error, Unreachable) else BadInput
            return kind(
                f"{name}: {printable(str(error))}", hint=printable(error.hint or "") or None
            )
        if not isinstance(error, (OSError, EOFError, ValueError)):
            return error
        if self._hung:
            return Unreachable(
                f"{name} has not answered for {self._patience:g} seconds",
                hint="--timeout gives it longer",
            )
        return self._ended(error)

    def _ended(self, error: Exception) -> Unreachable:
        """Return what is known of a process that has ended too early."""
        code, name = self._process.returncode, self._target.text
        printed = printable(str(error).strip()) if isinstance(error, EOFError) else ""
        said = " / ".join(filter(None, [*self._said, printed]))
        why = shortened(said, _LINE) if said else f"exit code {code}"
        if code == _NOT_FOUND and self._target.host:
            return Unreachable(
                f"no spoolq is found at {name}: {why}",
                hint="install it there, or say where it is:  --program venv/bin/spoolq",
            )
        test = f"does this work?  ssh -o BatchMode=yes {self._target.host} true"
        return Unreachable(
            f"the connection to {name} is lost: {why}", hint=test if self._target.host else None
        )
