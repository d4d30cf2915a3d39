"""`enqueue` and `run`: jobs into the queue.

Options end at the first word of a command, as with env and nice, so a command keeps all its words;
after JSON or `-` they may follow.
"""

from __future__ import annotations

import os
import sys
from typing import Any, BinaryIO, Dict, Iterator, List, Optional, Sequence, Set

import click

from spoolq import api, errands, lease, names, pauses, platform, views
from spoolq.cli import given, render
from spoolq.cli.given import Source
from spoolq.cli.joboptions import awaited, job_options, overriding
from spoolq.cli.verbs import Refused, Verb, open_spool, resolve
from spoolq.errors import BadInput, InvalidJob, OutcomeUnknown, SpoolqError
from spoolq.text import shell_word


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
        ctx.meta[given.LITERAL] = literal
        ctx.allow_interspersed_args = anywhere and not literal
        return super().parse_args(ctx, args)

    def spellings(self, ctx: click.Context) -> Set[str]:
        """Return how our own options are spelled."""
        options = (param for param in self.get_params(ctx) if isinstance(param, click.Option))
        return {spelling for option in options for spelling in option.opts}


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
    spoolq enqueue --after last --key report './report'
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
    fields.update(awaited(spool, options))
    layers = layers_of(spool, fields, options["like"])
    policy = options["if_queued"]
    if sources is not None:
        ids = print_ids(publish(spool, layers, sources, policy))
    elif stream:
        ids = _publish_as_they_come(spool, layers, policy)
    else:
        ids = print_ids(publish_stdin(spool, layers, policy))
    _tell(spool, ids, options["cwd"])


# --- what is to be enqueued -----------------------------------------------------------------------


def reads_stdin(ctx: click.Context, words: Sequence[str]) -> bool:
    """Say whether the jobs come from stdin."""
    return tuple(words) == ("-",) and not ctx.meta[given.LITERAL]


def refuse_one_id(fields: Dict[str, Any]) -> None:
    """Refuse an id for many jobs.

    Raises:
        Refused: there is one.
    """
    if "id" in fields:
        raise Refused("--id names one job, and here may be more", 'give ids in JSON: {"id": ...}')


def sources_of(ctx: click.Context, words: Sequence[str], like: Optional[str]) -> List[Source]:
    """Return what the words mean; nothing at all is a copy of --like."""
    command = ctx.command
    assert isinstance(command, Enqueuing)
    if not words:
        if like is None:
            hint = f"spoolq {command.name} 'echo hello'; - reads jobs from stdin"
            raise Refused("what is to be run?", hint)
        return [Source("", None, None, {})]
    if words[0] == "-" and not ctx.meta[given.LITERAL]:
        raise Refused(
            f"- reads jobs from stdin and stands alone, without {words[1]!r}",
            f"spoolq {command.name} -",
        )
    return given.from_words(
        words, command.spellings(ctx), literal=ctx.meta[given.LITERAL], verb=str(command.name)
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


def publish(
    spool: api.Spool, layers: given.Layers, sources: Sequence[Source], if_queued: str
) -> List[str]:
    """Enqueue what was typed and return the ids."""
    jobs = [layers.around(source.fields) for source in sources]
    try:
        return spool.enqueue_many(jobs, if_queued=if_queued, on_skip=skipped)
    except InvalidJob as error:
        raise given.refusal(error, layers, sources[error.index or 0]) from error


def skipped(job_id: str) -> None:
    """Say that a job was not enqueued for its key."""
    render.say(f"{job_id} has this key, and waits or runs: nothing was enqueued")


def publish_stdin(spool: api.Spool, layers: given.Layers, if_queued: str) -> List[str]:
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
                ids = spool.enqueue_many(counted, if_queued=if_queued, on_skip=skipped)
        else:
            if render.is_terminal(sys.stdin):
                render.say("one job a line; end with Ctrl+D, give up with Ctrl+C")
            ids = spool.enqueue_many(jobs(), if_queued=if_queued, on_skip=skipped)
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
    return BadInput(f"{error}; nothing was enqueued", hint=error.hint or given.A_JOB)


def _publish_as_they_come(spool: api.Spool, layers: given.Layers, if_queued: str) -> List[str]:
    ids: List[str] = []
    try:
        for source in given.from_lines(_stdin()):
            try:
                job = layers.around(source.fields)
                new = spool.enqueue_many([job], if_queued=if_queued, on_skip=skipped)
            except InvalidJob as error:
                better = given.explained(error, source)
                better.hint = better.hint or given.A_JOB
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


def _tell(spool: api.Spool, ids: Sequence[str], cwd: Optional[str]) -> None:
    """On a terminal: which spool it was, and what keeps the jobs from running."""
    if not render.is_terminal(sys.stderr):
        return
    render.flush()
    render.say(f"{_number(ids)} enqueued in {render.escape(spool.path)}")
    if cwd and not os.path.isdir(cwd):
        render.say(f"there is no directory {render.escape(cwd)} here yet: without it none can run")
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
