"""The routes: pages that show the spool, and the four things that may be done to it.

Every page is made on the server and works without scripts. A script asks for the page again every
few seconds with the ETag that it has: a number that changes when a directory of the spool has, so
that "nothing new" (304) costs some calls of `stat`. Ids are checked before anything is looked for,
and whatever a template shows is escaped twice: control and direction characters by `printable`,
the rest by Jinja.

From here a job can be cancelled and retried, and the workers paused and resumed; nothing can be
enqueued or edited, and no setting changed. The gate (`guard`) stands before all of this.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from typing import Any, Callable, Dict, List, Optional, Tuple, TypeVar

import flask
from jinja2 import Undefined
from markupsafe import Markup
from werkzeug.exceptions import HTTPException

from spoolq import api, config, instants, logs, metrics, names, views
from spoolq.dashboard import charts, lists, story, words
from spoolq.dashboard.actions import Actions
from spoolq.dashboard.guard import Application, Keys
from spoolq.dashboard.look import Look, Place
from spoolq.dashboard.overview import overview
from spoolq.errors import Busy, NoSpool, NotFound, SpoolqError, StorageFailed, WrongState
from spoolq.layout import STATES
from spoolq.logs import LogName
from spoolq.text import printable, shortened

_LONGEST = 20_000  # characters of anything that a page shows at once
_STATUS = ((NoSpool, 503), (NotFound, 404), (WrongState, 409), (Busy, 503), (StorageFailed, 503))
_MOST_KNOWN = 256  # jobs of which it is kept how the logs of their runs are named

_T = TypeVar("_T")


def make(spool: api.Spool, keys: Keys, *, read_only: bool) -> Application:
    """Return the application that shows a spool."""
    app = flask.Flask(__name__)
    app.jinja_options = {**app.jinja_options, "finalize": _shown}  # before anything asks for it
    app.debug = False  # Flask would read FLASK_DEBUG, and show tracebacks
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    pages = _Pages(spool, keys, read_only)
    app.jinja_env.globals.update(pages.common())
    app.before_request(pages.follow)
    for rule, name in (
        ("/", "overview"),
        ("/jobs", "jobs"),
        ("/jobs/<state>", "jobs"),
        ("/job/<job_id>", "job"),
        ("/job/<job_id>/log/<run>", "log"),
        ("/workers", "workers"),
        ("/settings", "settings"),
        ("/metrics", "metrics"),
    ):
        app.add_url_rule(rule, name, getattr(pages, name), methods=["GET"])
    if not read_only:
        for verb in ("retry", "cancel", "pause", "resume"):
            act = getattr(pages.actions, verb)
            app.add_url_rule(f"/{verb}", verb, act, methods=["POST"])
    app.register_error_handler(SpoolqError, _expected)
    app.register_error_handler(OSError, _refused_by_system)
    app.register_error_handler(HTTPException, _by_http)
    app.register_error_handler(Exception, _bug)
    application: Application = app.wsgi_app
    return application


def _shown(value: object) -> object:
    """Return what a template shows of a value: one line, of bounded length, with no tricks."""
    if value is None:
        return ""
    if isinstance(value, (Markup, Undefined)):
        return value
    return printable(shortened(str(value), _LONGEST))


class _Pages:
    """The pages; each is called by several threads at once."""

    def __init__(self, spool: api.Spool, keys: Keys, read_only: bool) -> None:
        self._look = Look(spool)
        self._known: OrderedDict[Place, List[LogName]] = OrderedDict()
        self._keys = keys
        self._read_only = read_only
        self._start = names.random_text(8)
        self.actions = Actions(lambda: self._look.spool, self._look.hurry)

    def common(self) -> Dict[str, object]:
        """Return what every template may use."""
        return {
            "spool_path": self._look.spool.path,
            "csrf": self._keys.csrf,
            "read_only": self._read_only,
            "states": STATES,
            "per_page": lists.PER_PAGE,
            "words": words,
            "is_id": names.is_id,
            "rfc": instants.to_rfc3339,
            "instant": instants.from_epoch,
            "counts": self._look.counts,
            "is_paused": lambda: views.is_paused(self._look.spool.dir),
            "notice": lambda: self.actions.notice(flask.request.args.get("note", "")),
        }

    def follow(self) -> None:
        """Take care that what is asked is asked of the spool that is at its path now."""
        if flask.request.endpoint != "static":
            self._look.follow()

    # --- pages ------------------------------------------------------------------------------------

    def overview(self) -> Any:
        """Show the whole spool at a glance."""
        span = flask.request.args.get("span", "")
        span = span if span in charts.SPANS else "hour"
        return self._page(
            "overview.html",
            lambda: {**overview(self._look, charts.SPANS[span], time.time()), "span": span},
            seconds=5 if self._look.names("processing") else 15,
        )

    def jobs(self, state: str = "") -> Any:
        """List the jobs of one state, or of all."""
        if state and state not in STATES:
            flask.abort(404)
        query = lists.Query.of(state, flask.request.args.get)
        return self._page("jobs.html", lambda: {"page": lists.page(self._look, query)})

    def job(self, job_id: str) -> Any:
        """Show one job with its runs and what the last one printed."""
        place = self._found(job_id)
        directory = self._look.spool.dir.dir("logs")
        view = None
        if place not in self._known:  # of a large file reading is the most of the work
            view = self._read(place)
            self._remember(place, [told.log for told in story.runs(view) if told.log])
        state = {log: story.has_log(directory, log) for log in self._known.get(place, ())}
        asked = flask.request.args.get("run")
        chosen = next(
            (log for log, is_there in state.items() if is_there and asked in (None, _run(log))),
            None,
        )

        def content() -> Dict[str, object]:
            found = view or self._read(place)
            output = story.tail(directory, chosen) if chosen else None
            there = {log for log, is_there in state.items() if is_there}
            odd = {log for log, is_there in state.items() if is_there is None}
            return {
                "view": found,
                "runs": story.runs(found),
                "there": there,
                "odd": odd,
                "chosen": chosen,
                "output": output,
                "run": _run,
            }

        return self._page("job.html", content, of=(place, list(state.items())), follow=False)

    def log(self, job_id: str, run: str) -> Any:
        """Return what a run printed, from the byte `start` on, as harmless plain text."""
        name = logs.parse(f"{job_id}.{run}.log") if names.is_id(job_id) else None
        if name is None or name.id != job_id:
            return flask.abort(404)
        start = flask.request.args.get("start", "0")
        if not (start.isascii() and start.isdigit() and len(start) < 19):
            flask.abort(400)
        piece = story.piece(self._look.spool.dir.dir("logs"), name, int(start))
        answer = flask.Response(piece.text, content_type="text/plain; charset=utf-8")
        answer.headers["Spoolq-Start"] = str(piece.start)
        answer.headers["Spoolq-End"] = str(piece.end)
        answer.headers["Spoolq-Size"] = str(piece.size)
        return answer

    def workers(self) -> Any:
        """Show the workers, and what each runs."""

        def content() -> Dict[str, object]:
            running: Dict[Optional[str], List[object]] = {}
            for found in self._look.running(1000):
                running.setdefault(found.claim.worker, []).append(found)
            return {"workers": self._look.workers(), "running": running}

        return self._page("workers.html", content)

    def settings(self) -> Any:
        """Show the settings in force."""

        def content() -> Dict[str, object]:
            values, warnings = views.settings_of(self._look.spool.dir)
            ours: Dict[str, object] = {}
            if not warnings:
                ours = config.raw(self._look.spool.dir.config_bytes())
            rows = [
                (key, getattr(values, key), key in ours, found.meaning)
                for key, found in config.KEYS.items()
            ]
            return {"rows": rows, "warnings": warnings}

        return self._page("settings.html", content)

    def metrics(self) -> Any:
        """Return what `spoolq metrics` prints."""
        try:
            return flask.Response(self._look.metrics(), content_type=metrics.CONTENT_TYPE)
        except SpoolqError as error:
            if isinstance(error.__context__, ImportError):  # its library is not installed
                return _error(501, str(error), error.hint)
            raise  # so that the scrape fails, as it is to

    # --- what they share --------------------------------------------------------------------------

    def _found(self, job_id: str) -> Place:
        if not names.is_id(job_id):
            flask.abort(404)
        self._look.refresh()
        return self._there(self._look.place(job_id), job_id)

    def _read(self, place: Place) -> views.JobView:
        return self._there(self._look.read(place), names.id_in(place[1]))

    def _there(self, found: Optional[_T], job_id: str) -> _T:
        if found is None:
            raise NotFound(f"there is no job {job_id} in {self._look.spool.path}")
        return found

    def _remember(self, place: Place, found: List[LogName]) -> None:
        self._known[place] = found
        if len(self._known) > _MOST_KNOWN:
            self._known.popitem(last=False)

    def _page(
        self,
        template: str,
        content: Callable[[], Dict[str, object]],
        *,
        of: object = None,
        follow: bool = True,
        seconds: float = 15,
    ) -> Any:
        """Return a page, or 304 where the browser's script has it as it is.

        Args:
            of: what the page is made of beside the spool as a whole.
            follow: whether it changes with the spool as a whole.
            seconds: it changes at least so often, since time goes by.
        """
        seen = self._look.refresh() if follow else 0
        paused = views.is_paused(self._look.spool.dir)
        address = flask.request.full_path
        now = int(time.time() // seconds)
        tag = f'"{self._start}-{hash((seen, repr(of), paused, address, now)) & (2**64 - 1):x}"'
        if flask.request.headers.get("If-None-Match") == tag:
            return flask.Response(status=304, headers={"ETag": tag})
        page = flask.render_template(template, **content())
        return flask.Response(page, headers={"ETag": tag})


def _run(name: LogName) -> str:
    """Return the part of an address that names a run's log."""
    return f"a{name.attempt}.{name.stamp}"


# --- what goes wrong ------------------------------------------------------------------------------


def _error(status: int, title: str, hint: Optional[str] = None) -> Tuple[str, int]:
    return flask.render_template("error.html", title=title, hint=hint), status


def _expected(error: SpoolqError) -> Tuple[str, int]:
    status = next((status for kind, status in _STATUS if isinstance(error, kind)), 500)
    return _error(status, str(error), error.hint)


def _refused_by_system(error: OSError) -> Tuple[str, int]:
    return _error(503, f"{error.strerror or error}: {error.filename or 'the spool'}")


def _by_http(error: HTTPException) -> Tuple[str, int]:
    return _error(error.code or 500, error.name)


def _bug(_: Exception) -> Tuple[str, int]:
    logs.logger.exception("a page of the dashboard failed: this is a bug in spoolq")
    return _error(500, "That is a bug in spoolq; its terminal says more")
