"""Who may ask: the gate that every request passes before anything is routed.

Loopback is no border: every page that the user's browser shows can send requests there, and every
other user of the machine can connect. So, in this order:

    Host        one of the names that this server is known by: a foreign name that is made to point
                here (DNS rebinding) is turned away
    method      GET and HEAD look, POST changes, nothing else is answered; no CORS header is ever
                sent, so OPTIONS has nothing to say
    session     the token of the printed address, exchanged at `/` for a cookie that scripts cannot
                read and other sites cannot have sent; or, for METRICS alone, its own token
    fetch site  another site may lead a person here, and embed or fetch nothing
    POST        Origin is this very server, and the form brings the secret that only its own pages
                hold; where the dashboard is read-only there is no POST at all

What is refused is answered in plain text that repeats nothing of the request. Every answer, these
included, carries HEADERS. A request that is not refused is marked LET_IN, by which the server knows
whose connection it keeps.
"""

from __future__ import annotations

import hmac
import io
import secrets
from typing import Any, Callable, Dict, FrozenSet, Iterable, List, NamedTuple, Optional, Tuple
from urllib.parse import parse_qs

Request = Dict[str, Any]
Respond = Callable[..., Any]
Application = Callable[[Request, Respond], Iterable[bytes]]

#: What every answer says to the browser. Nothing from elsewhere, nothing inline, no frame around
#: it, nothing guessed, nothing kept.
HEADERS: Tuple[Tuple[str, str], ...] = (
    (
        "Content-Security-Policy",
        "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; "
        "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    ),
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
    ("Referrer-Policy", "no-referrer"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Cache-Control", "no-store"),
)
_OURS = frozenset(name.lower() for name, _ in HEADERS)

#: What Prometheus may read with a token of its own.
METRICS = "/metrics"

#: The key by which the server finds in a request that it was not refused.
LET_IN = "spoolq.let_in"

_METHODS = "GET, HEAD, POST"
_FORM = "application/x-www-form-urlencoded"
_MOST_FIELDS = 200


class Keys(NamedTuple):
    """The secrets of one start: `token` is in the printed address, `session` in the cookie.

    `scrape` is no secret of the start, but given by whoever lets Prometheus read METRICS alone.
    """

    token: str
    session: str
    csrf: str
    scrape: Optional[str] = None

    @classmethod
    def new(cls, scrape: Optional[str] = None) -> Keys:
        """Make them: 256 random bits each."""
        token, session, csrf = (secrets.token_urlsafe(32) for _ in range(3))
        return cls(token, session, csrf, scrape)


class Place(NamedTuple):
    """How browsers reach this server: the values of Host that are ours, and our origins.

    `cookie` names the cookie, which would else be shared by the servers on all ports of a host.
    """

    hosts: FrozenSet[str]
    origins: FrozenSet[str]
    cookie: str
    secure: bool


class _Refusal(Exception):
    def __init__(self, status: str, words: str, *headers: Tuple[str, str]) -> None:
        self.status = status
        self.words = words
        self.headers = headers


class Guard:
    """A WSGI application around another, which lets through what may be asked."""

    def __init__(
        self, application: Application, keys: Keys, place: Place, *, read_only: bool
    ) -> None:
        self._application = application
        self._keys = keys
        self._place = place
        self._read_only = read_only

    def __call__(self, request: Request, respond: Respond) -> Iterable[bytes]:
        try:
            self._refuse_strangers(request)
            cookie = self._exchange(request)
            if cookie is not None:
                request[LET_IN] = True
                there = [("Location", "/"), ("Set-Cookie", cookie), ("Content-Length", "0")]
                respond("303 See Other", [*HEADERS, *there])
                return [b""]
            self._demand_session(request)
            if request["REQUEST_METHOD"] == "POST":
                self._refuse_forgery(request)
        except _Refusal as refusal:
            body = f"{refusal.words}\n".encode("ascii")
            plain = ("Content-Type", "text/plain; charset=utf-8")
            length = ("Content-Length", str(len(body)))
            respond(refusal.status, [*HEADERS, plain, length, *refusal.headers])
            return [b"" if request["REQUEST_METHOD"] == "HEAD" else body]
        request[LET_IN] = True

        def answer(status: str, headers: List[Tuple[str, str]], *rest: Any) -> Any:
            kept = [(name, text) for name, text in headers if name.lower() not in _OURS]
            return respond(status, [*kept, *HEADERS], *rest)

        return self._application(request, answer)

    def _refuse_strangers(self, request: Request) -> None:
        if request.get("HTTP_HOST", "").lower() not in self._place.hosts:
            raise _Refusal("403 Forbidden", "this server is not known by that name")
        if request["REQUEST_METHOD"] not in _METHODS.split(", "):
            raise _Refusal("405 Method Not Allowed", "not allowed", ("Allow", _METHODS))

    def _exchange(self, request: Request) -> Optional[str]:
        """Return the cookie for who brings the token, or None where none is brought."""
        if request["PATH_INFO"] != "/" or request["REQUEST_METHOD"] != "GET":
            return None
        try:
            given = parse_qs(request.get("QUERY_STRING", ""), max_num_fields=_MOST_FIELDS)
        except ValueError:
            raise _Refusal("400 Bad Request", "that is no query") from None
        if "token" not in given:
            return None
        if len(given["token"]) != 1 or not _same(given["token"][0], self._keys.token):
            raise _Refusal("403 Forbidden", "that token is not of this start of the dashboard")
        secure = "; Secure" if self._place.secure else ""
        value = f"{self._place.cookie}={self._keys.session}"
        return f"{value}; Path=/; HttpOnly; SameSite=Strict{secure}"

    def _may_scrape(self, request: Request) -> bool:
        scheme, _, given = request.get("HTTP_AUTHORIZATION", "").partition(" ")
        return (
            self._keys.scrape is not None
            and request["PATH_INFO"] == METRICS
            and request["REQUEST_METHOD"] == "GET"
            and scheme.lower() == "bearer"
            and _same(given, self._keys.scrape)
        )

    def _demand_session(self, request: Request) -> None:
        if self._may_scrape(request):
            return
        for part in request.get("HTTP_COOKIE", "").split(";"):
            name, _, value = part.strip().partition("=")
            if name == self._place.cookie and _same(value, self._keys.session):
                break
        else:
            raise _Refusal(
                "403 Forbidden",
                "open the address that spoolq dashboard printed, with its token;\n"
                "if you have just followed it, reload this page",
            )
        site = request.get("HTTP_SEC_FETCH_SITE")
        led_here = (
            request.get("HTTP_SEC_FETCH_MODE") == "navigate"
            and request.get("HTTP_SEC_FETCH_DEST") == "document"
            and request["REQUEST_METHOD"] == "GET"
        )
        if site not in (None, "same-origin", "none") and not led_here:
            raise _Refusal("403 Forbidden", "another site may not fetch this")

    def _refuse_forgery(self, request: Request) -> None:
        if self._read_only:
            raise _Refusal("403 Forbidden", "this dashboard is read-only")
        if request.get("HTTP_ORIGIN") not in self._place.origins:
            raise _Refusal("403 Forbidden", "that did not come from a page of this server")
        if request.get("HTTP_SEC_FETCH_SITE", "same-origin") != "same-origin":
            raise _Refusal("403 Forbidden", "that did not come from a page of this server")
        if request.get("CONTENT_TYPE", "").partition(";")[0].strip().lower() != _FORM:
            raise _Refusal("415 Unsupported Media Type", "only the forms of the pages are taken")
        body = request["wsgi.input"].read()  # whole already, and of bounded length: see serve
        request["wsgi.input"] = io.BytesIO(body)
        try:
            form = parse_qs(body.decode("ascii"), max_num_fields=_MOST_FIELDS)
        except ValueError:
            raise _Refusal("400 Bad Request", "that is no form of the pages") from None
        given = form.get("csrf", [])
        if len(given) != 1 or not _same(given[0], self._keys.csrf):
            raise _Refusal(
                "403 Forbidden", "that page is of an earlier start of the dashboard: reload it"
            )


def _same(given: str, secret: str) -> bool:
    """Compare in a time that tells nothing of where they differ."""
    return hmac.compare_digest(given.encode("utf-8", "surrogateescape"), secret.encode("ascii"))
