"""`hold`, `release`, `set` and `edit`: jobs that wait, changed."""

from __future__ import annotations

import json
import shlex
from datetime import datetime
from typing import Any, Callable, Dict, List, Optional, Sequence

import click

from spoolq import api, config, instants, names, strictjson
from spoolq.cli import completing, editor, render, times
from spoolq.cli.many import each_of, many
from spoolq.cli.verbs import Refused, Verb, did_you_mean, open_spool, resolve
from spoolq.errors import BadInput, InvalidJob
from spoolq.fields import FIELDS
from spoolq.job import DERIVED, MAX_GIVEN
from spoolq.views import JobView

_STATES = ("pending", "failed")
_WAITING = completing.ids(*_STATES)
_NONE = ("none", "null")
_TEXTS = ("command", "name", "cwd")


@click.command(cls=Verb)
@many(*_STATES)
def hold(ids: Sequence[str], tag: Optional[str]) -> None:
    """Let waiting jobs wait until they are released.

    A held job is in its state as before, with the last day of time in its name.

    \b
    spoolq hold k3v9
    spoolq hold --tag nightly
    """
    from spoolq import changing

    def act(spool: api.Spool, job_id: str) -> None:
        view = changing.hold(spool.dir, job_id)
        render.say(f"{view.id}: held until  spoolq release {view.id}{render.place(spool.path)}")

    each_of(ids, tag, _STATES, act)


@click.command(cls=Verb)
@many(*_STATES)
def release(ids: Sequence[str], tag: Optional[str]) -> None:
    """Let held jobs fall due, and those that wait for their time.

    \b
    spoolq release k3v9
    spoolq release --tag nightly
    """
    from spoolq import changing

    def act(spool: api.Spool, job_id: str) -> None:
        view = changing.release(spool.dir, job_id)
        waits = view.name is not None and view.name.stamp == names.AFTER
        what = "waits for others again; another release lets it go" if waits else "released"
        render.say(f"{view.id}: {what}{render.place(spool.path)}")
        spool.dir.ring()

    each_of(ids, tag, _STATES, act)


class _Setting(Verb):
    def parse_args(self, ctx: click.Context, args: List[str]) -> List[str]:
        """Read the arguments; a setting of the spool is answered with what was meant."""
        if len(args) == 2 and args[0].replace("-", "_") in config.KEYS:
            raise Refused(
                f"{args[0]!r} is a setting of the spool, and set changes a job",
                f"spoolq config set {shlex.join(args)}",
            )
        return super().parse_args(ctx, args)


@click.command(name="set", cls=_Setting)
@click.argument("id_", metavar="ID", shell_complete=_WAITING)
@click.argument("field")
@click.argument("value")
def set_field(id_: str, field: str, value: str) -> None:
    """Change one field of a waiting job.

    The value is JSON, or text; a time or a duration as people write it where the field is one;
    none takes the field away.

    \b
    spoolq set k3v9 priority 9
    spoolq set k3v9 run_at 'tomorrow 06:00'
    """
    from spoolq import changing

    spool = open_spool()
    view = spool.get(resolve(spool, id_))
    key = field.replace("-", "_")
    if key not in FIELDS or key in changing.FIXED:
        reason = "is what the job is" if key in changing.FIXED else "is no field of a job"
        known = sorted(FIELDS.keys() - set(changing.FIXED))
        raise Refused(
            f"{field!r} {reason}{did_you_mean(key, known)}", f"fields: {', '.join(known)}"
        )
    fields = changing.shown(view)
    if value in _NONE:
        fields.pop(key, None)
    else:
        fields[key] = _read(key, value)
    _rewrite(spool, view, fields)


def _read(key: str, value: str) -> Any:
    """Return what a typed value means for this field."""
    if key == "timeout":
        seconds = times.duration(value)
        return int(seconds) if seconds.is_integer() else seconds
    if key == "run_at":
        return instants.to_rfc3339(times.instant(value, instants.now()))
    if key in _TEXTS and value[:1] not in ("[", '"'):
        return value  # `true` is a command
    try:
        return json.loads(value)
    except ValueError:
        return value


@click.command(cls=Verb)
@click.argument("id_", metavar="ID", shell_complete=_WAITING)
@click.option("--file", "path", metavar="FILE", help="Take the text from there, without an editor.")
def edit(id_: str, path: Optional[str]) -> None:
    """Change a waiting job in your editor ($VISUAL, $EDITOR, else vi).

    The job may start meanwhile: then nothing is changed. What is refused is kept in a file.

    \b
    spoolq edit k3v9
    spoolq edit k3v9 --file job.json
    """
    from spoolq import changing

    spool = open_spool()
    view = spool.get(resolve(spool, id_))
    before = changing.shown(view)
    if path is not None:
        _take(spool, view, before, editor.contents(path), lambda: path or "")
        return
    text = strictjson.dump_object(before)
    edited = editor.edited(text, view.id)
    if edited == text:
        render.say(f"{view.id}: not changed")
        return
    _take(spool, view, before, edited, lambda: editor.kept(edited, view.id))


def _take(
    spool: api.Spool,
    view: JobView,
    before: Dict[str, Any],
    data: bytes,
    keep: Callable[[], str],
) -> None:
    """Give a job the fields of a text; what is refused is kept, and can be mended there."""
    from spoolq import changing

    try:
        if len(data) > MAX_GIVEN:
            raise InvalidJob(f"larger than {MAX_GIVEN // 1024} KiB")
        fields = strictjson.parse_object(data)[1]
        for key in changing.FIXED:
            if key in fields and fields[key] != (view.job.fields.get(key) if view.job else None):
                raise InvalidJob("is what the job is, and cannot be changed", path=(key,))
        for key in fields:
            if key not in FIELDS and key not in DERIVED and key not in before:
                meant = did_you_mean(key, FIELDS)
                render.warn(f"the field {key!r} means nothing to spoolq; it is kept{meant}")
        _rewrite(spool, view, fields)
    except InvalidJob as error:
        if error.line is None and error.path:
            text = data.decode("utf-8", "replace")
            line, column = strictjson.place(text, error.path)
            error = InvalidJob(
                error.reason, path=error.path, line=line, column=column, hint=error.hint
            )
        again = f"mend it there, then:  spoolq edit {view.id} --file {shlex.quote(keep())}"
        raise BadInput(f"not changed: {error}", hint=again) from error


def _rewrite(spool: api.Spool, before: JobView, fields: Dict[str, Any]) -> None:
    from spoolq import changing

    after = changing.rewrite(spool.dir, before, fields)
    spool.dir.ring()
    when = "" if after.name == before.name or after.not_before is None else _when(after.not_before)
    render.say(f"{after.id}: changed{when}{render.place(spool.path)}")


def _when(at: datetime) -> str:
    return f", not before {times.echoed(at, instants.now())}"
