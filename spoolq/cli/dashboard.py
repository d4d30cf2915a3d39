"""`dashboard`: the spool in a browser, for who started it."""

from __future__ import annotations

import os
import signal
import stat
from typing import BinaryIO, Optional

import click

from spoolq.cli import render
from spoolq.cli.verbs import Refused, Verb, Whole, open_spool, typed
from spoolq.errors import NotFound

_PORT = 8765


@click.command(cls=Verb)
@click.option("--host", default="127.0.0.1", metavar="H", help="Where to listen (127.0.0.1).")
@click.option(
    "--port", type=Whole(0, 65_535), default=_PORT, metavar="N", help=f"The port; 0: any ({_PORT})."
)
@click.option("--read-only", is_flag=True, help="Show, and let nothing be done.")
@click.option("--allow-remote", is_flag=True, help="Let --host be for other machines too.")
@click.option(
    "--public-url", metavar="URL", help="What browsers call it, where they come through a proxy."
)
@click.option(
    "--metrics-token",
    type=click.File("rb"),
    metavar="FILE",
    help="A file with a token that lets Prometheus read /metrics alone.",
)
def dashboard(
    host: str,
    port: int,
    read_only: bool,
    allow_remote: bool,
    public_url: Optional[str],
    metrics_token: Optional[BinaryIO],
) -> None:
    """Show the spool in a browser, until Ctrl+C.

    Prints the address to open, which holds a secret token: who has it sees all of the spool, and
    without --read-only can retry, cancel, pause and resume.

    \b
    spoolq dashboard
    spoolq dashboard --read-only --port 9000
    """
    try:
        from spoolq.dashboard import serve
    except ImportError as error:
        raise NotFound(
            f"the dashboard needs {_distribution(error)}, which is not installed",
            hint="pip install 'spoolq[dashboard]'",
        ) from error
    from spoolq import logs

    logs.configure()  # what goes wrong in a page is told here
    if port == 0 and public_url:
        raise Refused("--public-url needs a port that stays", "leave --port 0 out")
    scrape_token = None if metrics_token is None else _token(metrics_token)
    spool = open_spool()
    with typed():
        server = serve.listen(
            spool,
            host,
            port,
            read_only=read_only,
            allow_remote=allow_remote,
            public_url=public_url,
            scrape_token=scrape_token,
        )
    if allow_remote and not public_url:
        render.warn("what is sent can be read on the way: use a proxy with TLS, or a tunnel")
    render.say(f"The spool {render.escape(spool.path)} in a browser; Ctrl+C ends it. Open:")
    render.out(server.url)
    render.flush()
    if server.run() == signal.SIGINT:
        raise KeyboardInterrupt


def _token(file: BinaryIO) -> str:
    token = file.read(1000).decode("latin-1").strip()
    if not 16 <= len(token) < 1000 or not token.isascii() or not token.isprintable():
        raise Refused(
            f"{file.name} holds no token: 16 characters at least, on one line",
            f"(umask 077; openssl rand -hex 32 > {file.name})",
        )
    info = os.fstat(file.fileno())
    if os.name == "posix" and stat.S_ISREG(info.st_mode) and info.st_mode & 0o027:
        others = "write" if info.st_mode & 0o022 else "read"
        render.warn(
            f"others may {others} {file.name}, and so read the metrics: chmod o=,g-w {file.name}"
        )
    return token


def _distribution(error: ImportError) -> str:
    return {"flask": "Flask", "waitress": "waitress"}.get(error.name or "", str(error.name))
