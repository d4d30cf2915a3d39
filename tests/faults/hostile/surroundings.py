"""Odd surroundings: any umask, no HOME, a POSIX locale, closed streams, a reader that has gone."""

import os
import stat
import subprocess

from ..cases import Bench, Case
from . import hosting


def _sh(bench: Bench, script: str, *words: str) -> "subprocess.CompletedProcess[str]":
    """Run a script in which "$@" is spoolq with these words."""
    done = subprocess.run(
        ["sh", "-c", script, "sh", *bench.place.command(*words)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="surrogateescape",
        env=bench.place.environment(),
        timeout=60,
    )
    bench.count("odd surroundings")
    hosting.no_bug(bench, done.stderr, script)
    return done


def _odd(bench: Bench) -> None:
    place = bench.place
    for umask in ("0", "0777"):
        _sh(bench, f'umask {umask}; exec "$@"', "init")
        modes = {stat.S_IMODE(os.stat(place.spool).st_mode)}
        modes |= {
            stat.S_IMODE(os.stat(os.path.join(place.spool, name)).st_mode)
            for name in os.listdir(place.spool)
            if os.path.isdir(os.path.join(place.spool, name))
        }
        bench.check(modes == {0o700}, f"umask {umask} makes {sorted(map(oct, modes))}")
        os.rename(place.spool, f"{place.spool}.{umask}")
    place.make(max_retries=0)
    enqueue = ("enqueue", "--name", "ünïcödé 漢字", "echo ünïcödé")
    for script in (
        'umask 0; exec "$@"',
        'umask 0777; exec "$@"',
        'LC_ALL=POSIX LANG=C PYTHONUTF8=0 PYTHONCOERCECLOCALE=0 exec "$@"',
        'LC_ALL=C exec "$@"',
        'unset HOME XDG_STATE_HOME; exec "$@"',
        'TERM=dumb exec "$@"',
        'exec "$@" <&- >&- 2>&-',
        'exec "$@" >&-',
        'exec "$@" 2>&-',
    ):
        for words in (enqueue, ("list",), ("status",), ("show", "last")):
            done = _sh(bench, script, *words)
            ascii_alone = "PYTHONUTF8=0" in script and words == enqueue
            if ascii_alone and done.returncode == 2 and "not UTF-8" in done.stderr:
                continue  # refused in words: an interpreter told to know ASCII alone
            bench.check(done.returncode == 0, f"{script} {words}: {done.returncode} {done.stderr}")
    for words in (("list",), ("list", "--json"), ("status",), ("show", "last")):
        done = _sh(bench, '"$@" | true', *words)
        bench.check(not done.stderr, f"{words} to nobody says {done.stderr[:300]}")
    done = _sh(bench, 'umask 0777; LC_ALL=C exec "$@" <&- >&- 2>&-', "worker", "start", "--drain")
    bench.check(done.returncode == 0, f"a worker without streams exits {done.returncode}")
    bench.check(not place.names("pending"), "it did not run what waits")
    bench.check(not place.names("dead"), "jobs died of the locale or of the umask")
    loose = [
        name
        for state in ("completed", "logs")
        for name in os.listdir(os.path.join(place.spool, state))
        if os.stat(os.path.join(place.spool, state, name)).st_mode & 0o077
    ]
    bench.check(not loose, f"others may read {loose[:3]}")


CASES = [Case("odd surroundings", _odd)]
