"""`enqueue` and `run`: jobs into the queue.

Options end at the first word of a command, as with env and nice, so a command keeps all its words;
after JSON or `-` they may follow.
"""

from __future__ import annotations

import os
import sys
from typing import Any, BinaryIO, Callable, Dict, Iterator, List, Optional, Sequence, Set, TypeVar

import click

from spoolq import api, errands, instants, lease, names, pauses, platform, views
from spoolq.cli import completing, given, render, times
from spoolq.cli.given import Source
from spoolq.cli.verbs import Number, Refused, Verb, Whole, open_spool, resolve, typed
from spoolq.errors import BadInput, InvalidJob, OutcomeUnknown, SpoolqError
from spoolq.layout import STATES
from spoolq.text import shell_word

_F = TypeVar("_F", bound=Callable[..., Any])
_LITERAL = "spoolq.literal"
_OPTIONS = {"tags": "tag", "run_at": "at"}  # options that are not called as their field
_A_JOB = "what a job can have:  spoolq enqueue --help"


class Enqueuing(Verb):
    """A verb whose options end where a command begins."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.allow_interspersed_args = False

    def parse_args(self, ctx: click.Context, args: List[str]) -> List[str]:
        """Find out what the words are before the options are read."""
        try:
            words = self.make_parser(ctx).parse_args(list(args))[0].get("words")
        except click.UsageError:
            words = None  # the parser proper says what is wrong
        literal, anywhere = given.split_options(args, words if isinstance(words, tuple) else ())
        ctx.meta[_LITERAL] = literal
        ctx.allow_interspersed_args = anywhere and not literal
        return super().parse_args(ctx, args)

    def spellings(self, ctx: click.Context) -> Set[str]:
        """Return how our own options are spelled."""
        options = (param for param in self.get_params(ctx) if isinstance(param, click.Option))
        return {spelling for option in options for spelling in option.opts}


def job_options(words: str) -> Callable[[_F], _F]:
    """Return what adds the options that say how a job runs, and the words of its command."""
    options = (
        click.argument("words", nargs=-1, metavar=words, shell_complete=completing.files),
        click.option("--id", metavar="ID", help="Its id; made where not given."),
        click.option("--name", metavar="TEXT", help="A name, for people."),
        click.option("--tag", "tags", multiple=True, metavar="TEXT", help="A tag; repeatable."),
        click.option("--priority", type=Whole(0, 9), metavar="0-9", help="9 goes first; else 5."),
        click.option("--at", metavar="TIME", help="Not before: 18:00, 'tomorrow 06:00' ..."),
        click.option("--in", "in_", metavar="DURATION", help="Not before: 90, 10m, 1h30m ..."),
        click.option("--hold", is_flag=True, help="Wait until it is released."),
        click.option(
            "--max-retries",
            type=Whole(0, 100_000),
            metavar="N",
            help="Retries after the first attempt; else the setting (3).",
        ),
        click.option("--success-on", metavar="CODES", help="Good exit codes besides 0: 3,4."),
        click.option("--retry-on", metavar="CODES", help="Any other failure is the last."),
        click.option("--dead-on", metavar="CODES", help="A failure that is the last: 100."),
        click.option(
            "--backoff-base",
            type=Number(),
            metavar="SECONDS",
            help="The wait after attempt n is this to the n; else the setting (2).",
        ),
        click.option("--timeout", metavar="DURATION", help="For one attempt: 90, 10m ..."),
        click.option(
            "--needs",
            multiple=True,
            metavar="NAME=AMOUNT",
            help="What it needs, of limits or of its executor: gpu=1; repeatable.",
        ),
        click.option("--cwd", metavar="DIR", help="Where it runs; else where you are."),
        click.option(
            "--env",
            multiple=True,
            metavar="NAME[=VALUE]",
            help="A variable, or one with the value that it has here; repeatable.",
        ),
        click.option(
            "--like",
            metavar="ID",
            shell_complete=completing.ids(*STATES),
            help="A copy of another job; what is given besides changes it.",
        ),
    )

    def add(function: _F) -> _F:
        for option in reversed(options):
            function = option(function)
        return function

    return add


@click.command(cls=Enqueuing)
@job_options("JSON... | COMMAND [ARG]... | -")
@click.option("--stream", is_flag=True, help="With -: enqueue each line as it comes.")
def enqueue(stream: bool, **options: Any) -> None:
    """Put jobs into the queue and print their ids.

    A single argument goes to the shell; several are a program and its arguments and run without
    one, as typed. JSON objects are one job each. A - reads jobs from stdin, one a line, JSON or
    shell command; all are checked before any is enqueued.

    Options end at the first word of a command. An id is printed when its job would survive a
    power cut.

    \b
    spoolq enqueue 'make -j2 && make install'
    spoolq enqueue --in 10m --priority 9 cp 'my file' /backup/
    spoolq enqueue '{"command": "sleep 3", "tags": ["night"]}' --max-retries 5
    find . -name '*.wav' | sed 's/.*/flac "&"/' | spoolq enqueue -
    """
    ctx = click.get_current_context()
    words: Sequence[str] = options["words"]
    fields = overriding(options)
    from_stdin = reads_stdin(ctx, words)
    if stream and not from_stdin:
        raise Refused("--stream is about lines of stdin", "spoolq enqueue --stream -")
    sources = None if from_stdin else sources_of(ctx, words, options["like"])
    if sources is None or len(sources) > 1:
        refuse_one_id(fields)
    spool = open_spool(create=True)
    layers = layers_of(spool, fields, options["like"])
    if sources is not None:
        ids = print_ids(publish(spool, layers, sources))
    elif stream:
        ids = _publish_as_they_come(spool, layers)
    else:
        ids = print_ids(publish_stdin(spool, layers))
    _tell(spool, ids)


# --- what is to be enqueued -----------------------------------------------------------------------


def overriding(options: Dict[str, Any]) -> Dict[str, Any]:
    """Return the fields that the options set; tells the time that was understood.

    Raises:
        Refused: an option cannot be read.
    """
    plain = ("id", "name", "priority", "max_retries", "cwd")
    fields = {key: options[key] for key in plain if options[key] is not None}
    if options["tags"]:
        fields["tags"] = list(options["tags"])
    if options["env"]:
        fields["env"] = given.variables(options["env"])
    for key in ("success_on", "retry_on", "dead_on"):
        if options[key] is not None:
            fields[key] = given.codes(f"--{key.replace('_', '-')}", options[key])
    if options["needs"]:
        fields["needs"] = given.needs(options["needs"])
    if options["backoff_base"] is not None:
        fields["backoff_base"] = _whole(options["backoff_base"])
    if options["timeout"] is not None:
        with typed("--timeout"):
            fields["timeout"] = _whole(times.duration(options["timeout"]))
    said = [f"--{key.strip('_')}" for key in ("at", "in_", "hold") if options[key]]
    if len(said) > 1:
        raise Refused(f"{' and '.join(said)} both say when", "give one of them")
    now = instants.now()
    when = None
    if options["at"] is not None:
        with typed("--at"):
            when = times.instant(options["at"], now)
    elif options["in_"] is not None:
        with typed("--in"):
            when = instants.later(now, times.duration(options["in_"]))
    if options["hold"]:
        fields["run_at"] = instants.stamp_to_rfc3339(names.HELD)
    if when is not None:
        fields["run_at"] = instants.to_rfc3339(when)
        render.say(f"not before {times.echoed(when, now)}")
    return fields


def reads_stdin(ctx: click.Context, words: Sequence[str]) -> bool:
    """Say whether the jobs come from stdin."""
    return tuple(words) == ("-",) and not ctx.meta[_LITERAL]


def refuse_one_id(fields: Dict[str, Any]) -> None:
    """Refuse an id for many jobs.

    Raises:
        Refused: there is one.
    """
    if "id" in fields:
        raise Refused("--id names one job, and here may be more", 'give ids in JSON: {"id": ...}')


def _whole(number: float) -> float:
    return int(number) if number == number // 1 else number


def sources_of(ctx: click.Context, words: Sequence[str], like: Optional[str]) -> List[Source]:
    """Return what the words mean; nothing at all is a copy of --like."""
    command = ctx.command
    assert isinstance(command, Enqueuing)
    if not words:
        if like is None:
            hint = f"spoolq {command.name} 'echo hello'; - reads jobs from stdin"
            raise Refused("what is to be run?", hint)
        return [Source("", None, None, {})]
    if words[0] == "-" and not ctx.meta[_LITERAL]:
        raise Refused(
            f"- reads jobs from stdin and stands alone, without {words[1]!r}",
            f"spoolq {command.name} -",
        )
    return given.from_words(
        words, command.spellings(ctx), literal=ctx.meta[_LITERAL], verb=str(command.name)
    )


def layers_of(spool: api.Spool, fields: Dict[str, Any], like: Optional[str]) -> given.Layers:
    """Return what is put around each job."""
    if like is None:
        return given.Layers(fields, spool.settings)
    view = views.find(spool.dir, resolve(spool, like))
    if view.job is None:
        raise BadInput(f"{like} is no job: {view.problem}", hint="spoolq dlq list says more")
    return given.Layers(fields, spool.settings, view.job)


# --- into the queue -------------------------------------------------------------------------------


def publish(spool: api.Spool, layers: given.Layers, sources: Sequence[Source]) -> List[str]:
    """Enqueue what was typed and return the ids."""
    try:
        return spool.enqueue_many([layers.around(source.fields) for source in sources])
    except InvalidJob as error:
        field = str(error.path[0]) if error.path else ""
        if field in layers.options and field != "env":  # which JSON may have brought along
            option = _OPTIONS.get(field, field.replace("_", "-"))
            raise Refused(f"--{option}: {error.reason}", error.hint or _A_JOB) from error
        better = given.explained(error, sources[error.index or 0])
        raise Refused(str(better), better.hint or _A_JOB) from error


def publish_stdin(spool: api.Spool, layers: given.Layers) -> List[str]:
    """Enqueue what comes in by stdin, all of it or nothing, and return the ids."""
    sources: List[Source] = []

    def jobs() -> Iterator[Dict[str, Any]]:
        for source in given.from_lines(_stdin()):
            sources.append(source)
            yield layers.around(source.fields)

    try:
        if render.is_terminal(sys.stderr) and not render.is_terminal(sys.stdin):
            from spoolq.cli.progress import reading

            with reading(jobs()) as counted:
                ids = spool.enqueue_many(counted)
        else:
            if render.is_terminal(sys.stdin):
                render.say("one job a line; end with Ctrl+D, give up with Ctrl+C")
            ids = spool.enqueue_many(jobs())
    except InvalidJob as error:
        better = given.explained(error, sources[error.index or 0])
        raise _nothing_of(better) from error
    except BadInput as error:
        raise _nothing_of(error) from error
    return ids


def _stdin() -> BinaryIO:
    stream = render.stdin()
    if stream is None:
        raise Refused("stdin is closed, so no jobs can come from it")
    return stream


def _nothing_of(error: BadInput) -> BadInput:
    return BadInput(f"{error}; nothing was enqueued", hint=error.hint or _A_JOB)


def _publish_as_they_come(spool: api.Spool, layers: given.Layers) -> List[str]:
    ids: List[str] = []
    try:
        for source in given.from_lines(_stdin()):
            try:
                new = spool.enqueue_many([layers.around(source.fields)])
            except InvalidJob as error:
                better = given.explained(error, source)
                better.hint = better.hint or _A_JOB
                raise better from error
            ids += print_ids(new)
            render.flush()
    except OutcomeUnknown:
        raise
    except SpoolqError as error:
        if ids:
            render.say(f"{_number(ids)} before it {'is' if len(ids) == 1 else 'are'} enqueued")
        raise error
    return ids


def print_ids(ids: List[str]) -> List[str]:
    """Print ids, one a line.

    Raises:
        OutcomeUnknown: the jobs are enqueued, and nobody could be told their ids.
    """
    try:
        for job_id in ids:
            render.out(job_id)
        render.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OutcomeUnknown(
            f"the jobs are enqueued, but their ids could not be printed: {error.strerror}",
            ids,
            hint="do not enqueue them again; spoolq list shows them",
        ) from error
    return ids


# --- words for people -----------------------------------------------------------------------------


def _tell(spool: api.Spool, ids: Sequence[str]) -> None:
    """On a terminal: which spool it was, and what keeps the jobs from running."""
    if not render.is_terminal(sys.stderr):
        return
    render.flush()
    render.say(f"{_number(ids)} enqueued in {render.escape(spool.path)}")
    what = standstill(spool)
    if what:
        render.say(what)


def _number(ids: Sequence[str]) -> str:
    return "1 job" if len(ids) == 1 else f"{len(ids)} jobs"


def standstill(spool: api.Spool, tag: Optional[str] = None) -> Optional[str]:
    """Return why nothing runs, or nothing with a tag, and what to do; None where somebody works.

    A quick look: it asks for a process, where only its lock would tell for certain.
    """
    if views.is_paused(spool.dir):
        return "the spool is paused; go on with:  spoolq resume"
    if tag is not None and tag in pauses.paused_tags(spool.dir):
        return (
            f"the tag is paused; go on with:  spoolq resume --tag {render.escape(shell_word(tag))}"
        )
    if any(_seems_alive(spool, entry) for entry in spool.dir.dir("workers").scan()):
        return None
    return "no worker runs here; start one with:  spoolq worker start --count 1"


def _seems_alive(spool: api.Spool, worker: str) -> bool:
    if not names.is_worker(worker):
        return False
    card = lease.read_card(spool.dir, worker)
    if card.get("count") == 0 and errands.forwards_to(card) is None:
        return False  # somebody who changes a job
    if platform.LINUX and card.get("boot") == platform.boot_id():
        return os.path.exists(f"/proc/{card.get('pid')}")
    return lease.probe(spool.dir, worker) == "held"
