"""`export` and `import`: jobs from one spool to another, by way of a file or a pipe."""

from __future__ import annotations

import sys
from contextlib import ExitStack, contextmanager
from typing import (
    BinaryIO,
    Callable,
    Dict,
    Iterable,
    Iterator,
    List,
    Mapping,
    Optional,
    Sequence,
    Set,
    Tuple,
)

import click

from spoolq import api, dependencies, importing, lines, names
from spoolq.cli import completing, render
from spoolq.cli.jobs import State
from spoolq.cli.verbs import FAILED, Refused, Tag, Verb, open_spool, resolve
from spoolq.dependencies import Wait
from spoolq.errors import BadInput, InvalidJob, SpoolqError
from spoolq.fsio import write_all
from spoolq.layout import LOOK_ORDER, STATES

_Place = Tuple[str, str]
_A_MEG = 1 << 20


# --- export ---------------------------------------------------------------------------------------


@click.command(cls=Verb)
@click.argument("ids", nargs=-1, metavar="[ID]...", shell_complete=completing.ids(*STATES))
@click.option("--state", "states", type=State(), multiple=True, help="Only these; repeatable.")
@click.option("--tag", type=Tag(), metavar="TEXT", help="Only those with this tag.")
def export(ids: Sequence[str], states: Sequence[str], tag: Optional[str]) -> None:
    """Print jobs as lines of JSON, for another spool.

    All of them, or those named, for spoolq import there; nothing is removed here. What runs is
    left out unless --state processing asks for it, since it would run there as well. Stop the
    workers before, so that no job moves meanwhile. Logs and settings stay: they are files to
    copy.

    \b
    spoolq export > jobs.jsonl
    spoolq export --state pending --state failed | ssh host spoolq import
    """
    spool = open_spool()
    tally = _Tally()
    if ids:
        places: Iterable[_Place] = spool.dir.locate(resolve(spool, text) for text in ids).values()
    else:
        places = _all(spool, states)
    waits: Dict[str, List[Wait]] = {}
    for wait in sorted(dependencies.still_open(spool.dir)):
        waits.setdefault(wait.job, []).append(wait)
    sink = render.stdout_bytes()
    for state, filename in places:
        if state == "processing" and "processing" not in states:
            tally.running += 1
        elif not states or state in states:
            _print(spool, state, filename, tag, sink, tally, waits)
    sink.flush()
    tally.tell()
    if tally.failed or (ids and tally.running):
        click.get_current_context().exit(FAILED)


class _Tally:
    """What became of the jobs of an export."""

    def __init__(self) -> None:
        self.seen: Set[str] = set()
        self.exported = self.running = self.failed = self.twice = 0

    def tell(self) -> None:
        render.say(f"exported {_number(self.exported)}")
        if self.running:
            render.say(
                f"left out, since they run: {self.running}; wait for them, or say  "
                "--state processing"
            )
        if self.twice:
            render.say(
                f"seen twice, and exported once: {self.twice}; they move (stop the workers), or "
                "have one id (spoolq doctor)"
            )


def _all(spool: api.Spool, states: Sequence[str]) -> Iterator[_Place]:
    """Yield what may be a job, in the order of a job's life; without holding all names."""
    for state in LOOK_ORDER:
        if not states or state in states:
            for filename in spool.dir.dir(state).scan():
                if names.is_job(filename):
                    yield state, filename


def _print(
    spool: api.Spool,
    state: str,
    filename: str,
    tag: Optional[str],
    sink: BinaryIO,
    tally: _Tally,
    waits: Mapping[str, Sequence[Wait]],
) -> None:
    key = names.id_in(filename) or f"{state}/{filename}"
    if key in tally.seen:
        tally.twice += state != "pending"  # which is looked at again, for what has come back
        return
    directory = spool.dir.dir(state)
    try:
        line = lines.of_file(directory, state, filename)
    except FileNotFoundError:
        return  # it has moved on, and is met there
    except (InvalidJob, OSError) as error:
        if tally.failed == 0 or state != "pending":  # which is looked at twice
            render.error(
                f"not exported: {error}",
                where=f"{directory.path}/{filename}",
                hint="look at it, and move it by hand:  ls -l",
            )
        tally.failed += 1
        return
    tally.seen.add(key)
    if tag is None or tag in line.tags:
        found = waits.get(line.id)
        if found is None and filename.startswith(names.AFTER):
            # RACE: it may have been enqueued since all was looked through, and would be let go
            # where it arrives (test_what_is_enqueued_during_an_export_waits_where_it_arrives).
            found = dependencies.waits_of(spool.dir, line.id)
        line = line._replace(waits=tuple(found or ()))
        sink.write(lines.written(line))
        tally.exported += 1


# --- import ---------------------------------------------------------------------------------------


@click.command(name="import", cls=Verb)
@click.argument("file", metavar="[FILE|-]", default="-", shell_complete=completing.files)
@click.option("--json", "as_json", is_flag=True, help="Say as one JSON document what was done.")
def import_jobs(file: str, as_json: bool) -> None:
    """Take in the jobs of an export.

    From a file or stdin, each into the state that it was in. All lines are checked before any
    job is taken in. What has an id that is here already is passed over, so an import that was
    interrupted goes on when it is done again. Jobs that wait may run at once; spoolq pause
    keeps them.

    \b
    spoolq import jobs.jsonl
    ssh host spoolq export | spoolq import --json
    """
    with _source(file) as source:
        spool = open_spool(create=True)
        durability = spool.settings.durability
        with _rewindable(spool, source) as (again, rewind):
            try:
                with _shown("checking") as count:
                    total = importing.checked(again, count)
            except BadInput as error:
                raise BadInput(f"{error}; nothing was imported", hint=error.hint) from error
            rewind()
            try:
                with _shown("importing", total) as count:
                    tally = importing.take_in(spool.dir, again, durability, count)
            except SpoolqError as error:
                error.hint = f"{error.hint or 'some jobs may be there'}; to go on, import it again"
                raise
    if as_json:
        render.document({"spool": spool.path, **tally._asdict()})
        return
    there = f"; {tally.there} were there already" if tally.there else ""
    render.say(f"imported {_number(tally.imported)} into {render.escape(spool.path)}{there}")


def _number(count: int) -> str:
    return "1 job" if count == 1 else f"{count} jobs"


@contextmanager
def _source(file: str) -> Iterator[BinaryIO]:
    if file != "-":
        with open(file, "rb") as opened:
            yield opened
        return
    stream = render.stdin()
    if stream is None or render.is_terminal(sys.stdin):
        raise Refused(
            "import reads what export has printed, and stdin is a terminal",
            "spoolq import jobs.jsonl",
        )
    yield stream


@contextmanager
def _rewindable(
    spool: api.Spool, source: BinaryIO
) -> Iterator[Tuple[BinaryIO, Callable[[], object]]]:
    """Give a stream that can be read twice: a pipe goes into a file of the spool's tmp/ first.

    The file has no name any more, so nothing is left of it, whatever happens.
    """
    if source.seekable():
        start = source.tell()
        yield source, lambda: source.seek(start)
        return
    tmp = spool.dir.dir("tmp")
    name = f"import.{names.random_text(13)}"
    with ExitStack() as stack:
        kept = stack.enter_context(open(tmp.create(name), "rb"))
        tmp.tidy(name)
        for part in iter(lambda: source.read(_A_MEG), b""):
            write_all(kept.fileno(), part)
        kept.seek(0)
        yield kept, lambda: kept.seek(0)


@contextmanager
def _shown(what: str, total: Optional[int] = None) -> Iterator[Callable[[], None]]:
    """Count lines; on a terminal show them."""
    if not render.is_terminal(sys.stderr):
        yield lambda: None
        return
    from spoolq.cli.progress import counting

    with counting(what) as bar:
        done = 0

        def count() -> None:
            nonlocal done
            done += 1
            if done % 100 == 0:
                bar(done, total or done)

        yield count
