"""The program: the verbs, and the boundary where every error becomes words and an exit code.

0 done · 1 an error that can be expected · 2 the command line was wrong · 3 a bug in spoolq
4 doctor, or the check of a producer, found problems · 75 not now: try again · 130 interrupted
141 who read our output has gone
"""

from __future__ import annotations

import os
import sys
from typing import List, NoReturn, Optional

import click

import spoolq
from spoolq import config
from spoolq.cli import render, verbs
from spoolq.cli.verbs import Lazy, VerbGroup
from spoolq.errors import Busy, OutcomeUnknown, SpoolqError

READER_GONE = 141  # 128 + SIGPIPE, as if it had ended us

_SECTIONS = (
    (
        "Jobs",
        ("enqueue", "run", "list", "show", "logs", "wait", "events", "cancel", "retry", "dlq"),
    ),
    ("Jobs that wait", ("hold", "release", "set", "edit", "schedule")),
    ("Workers", ("worker", "pause", "resume")),
    (
        "The spool",
        ("status", "watch", "dashboard", "init", "config", "purge", "doctor", "completion", "demo"),
    ),
    ("Other machines", ("forward", "receive", "export", "import")),
    ("The machine", ("metrics", "systemd")),
)
_VERBS: Lazy = {
    "enqueue": ("enqueue:enqueue", "Put jobs into the queue and print their ids."),
    "run": ("follow:run", "Enqueue a job, follow its output, and exit with its code."),
    "list": ("jobs:list_jobs", "List jobs, the newest first."),
    "show": ("jobs:show", "Show everything about one job."),
    "logs": ("output:print_logs", "Print what a job printed."),
    "wait": ("wait:wait", "Wait until jobs have ended."),
    "cancel": ("jobs:cancel", "Cancel jobs that wait or run."),
    "retry": ("jobs:retry", "Run failed jobs now, or dead ones anew."),
    "dlq": ("dlq:dlq", "The dead letter queue: what failed for good."),
    "events": ("events:events", "Tell which jobs have come into which state."),
    "hold": ("changing:hold", "Let waiting jobs wait until they are released."),
    "release": ("changing:release", "Let held jobs fall due."),
    "set": ("changing:set_field", "Change one field of a waiting job."),
    "edit": ("changing:edit", "Change a waiting job in your editor."),
    "schedule": ("schedule:schedule", "Jobs that come again and again, as cron's do."),
    "worker": ("workers:worker", "Run jobs, and see or stop who does."),
    "pause": ("settings:pause", "Let workers take nothing new."),
    "resume": ("settings:resume", "Let workers go on."),
    "status": ("status:status", "Say what waits, runs and has ended, and who works."),
    "watch": ("watch:watch", "Watch the spool live."),
    "dashboard": ("dashboard:dashboard", "Show the spool in a browser."),
    "init": ("settings:init", "Make a spool."),
    "config": ("settings:config_group", "Show and change the settings of the spool."),
    "purge": ("purge:purge", "Remove jobs that have ended, with their logs."),
    "doctor": ("doctor:doctor", "Look for what is wrong with the spool and the machine."),
    "completion": ("settings:completion", "Print the completion script of a shell."),
    "demo": ("demo:demo", "Show in a minute how it works."),
    "forward": ("forward:forward", "Move waiting jobs into another spool."),
    "receive": ("forward:receive", "Take in what forward sends."),
    "export": ("moving:export", "Print jobs as lines of JSON, for another spool."),
    "import": ("moving:import_jobs", "Take in the jobs of an export."),
    "metrics": ("metrics:metrics", "Print how the spool is, for Prometheus."),
    "systemd": ("systemd:systemd", "Let systemd run the workers."),
}


@click.group(
    cls=VerbGroup,
    lazy=_VERBS,
    sections=_SECTIONS,
    invoke_without_command=True,
    subcommand_metavar="[COMMAND] [ARGS]...",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(spoolq.__version__, prog_name="spoolq")
@click.pass_context
def cli(ctx: click.Context) -> None:
    """A durable job queue that is only a directory.

    \b
    spoolq enqueue 'echo hello'       # put a job into the queue
    spoolq worker start --count 2     # run jobs, two at a time
    spoolq                            # what waits, runs and has ended
    """
    if ctx.invoked_subcommand is None:
        from spoolq.cli.status import greet

        greet()


def main(
    arguments: Optional[List[str]] = None, command: click.Command = cli, name: str = "spoolq"
) -> NoReturn:
    """Run the command line, or that of another program of ours, and exit with its code."""
    # This process is spoolq's own, and takes no lock by way of redis: where that is installed,
    # portalocker imports it, for four fifths of its own cost, 90 of 110 ms.
    sys.modules.setdefault("redis", None)  # type: ignore[arg-type]  # "there is none"
    code = run(sys.argv[1:] if arguments is None else arguments, command, name)
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except (OSError, ValueError):
        _give_up_output()  # it has been told of
    sys.exit(code)


def run(arguments: List[str], command: click.Command = cli, name: str = "spoolq") -> int:
    """Run the command line; return its exit code. The only place that formats errors."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")  # no name is a reason to fail
    try:
        code = _invoke(arguments, command, name)
        if sys.stdout is not None:
            sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        if render.is_terminal(sys.stderr):
            render.say("")  # the prompt belongs on a line of its own, after ^C
        return verbs.INTERRUPTED
    except BrokenPipeError:
        return READER_GONE
    except click.ClickException as error:
        return _usage(error)
    except SpoolqError as error:
        render.error(str(error), where=error.where, hint=error.hint)
        for job_id in error.ids if isinstance(error, OutcomeUnknown) else ():
            render.say(f"  job  {job_id}")
        return verbs.TRY_AGAIN if isinstance(error, Busy) else verbs.FAILED
    except OSError as error:
        return _refused_by_system(error)
    except Exception:
        return _bug()


def _invoke(arguments: List[str], command: click.Command, name: str) -> int:
    instruction = config.environment().get("_SPOOLQ_COMPLETE")
    if instruction:
        from click.shell_completion import shell_complete

        return shell_complete(cli, {}, "spoolq", "_SPOOLQ_COMPLETE", instruction)
    try:
        with command.make_context(name, list(arguments)) as ctx:
            command.invoke(ctx)
    except click.exceptions.Exit as end:
        return end.exit_code
    except click.Abort:
        raise KeyboardInterrupt from None
    return 0


def _usage(error: click.ClickException) -> int:
    from spoolq.cli.refusals import reworded

    words = reworded(error)
    render.error(words.message)
    if words.usage:
        render.say(f"  usage  {words.usage}")
    if words.hint:
        render.error_hint(words.hint)
    return error.exit_code


def _refused_by_system(error: OSError) -> int:
    from spoolq import platform
    from spoolq.layout import advice

    what = error.strerror or str(error)
    named = isinstance(error.filename, (str, bytes)) and error.filename  # or a descriptor
    place = f": {os.fsdecode(named)}" if named else ""
    full = error.errno in platform.FULL_ERRNOS
    render.error(what + place, hint=advice(error))
    return verbs.TRY_AGAIN if full else verbs.FAILED


def _bug() -> int:
    import traceback

    for line in traceback.format_exc().splitlines():
        render.say(render.escape(line))
    render.error(
        "this is a bug in spoolq",
        hint="please report it, with the lines above and what you typed",
    )
    return verbs.BUG


def _give_up_output() -> None:
    """Point stdout where the interpreter's last flush cannot fail again."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, sys.stdout.fileno())
    except (OSError, ValueError, AttributeError):
        pass  # closed already
    finally:
        os.close(nowhere)
