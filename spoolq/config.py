"""Settings: defaults, the spool's config.json, the environment; nothing else reads either.

A setting is looked up when it is needed, so a change acts on waiting jobs too. Keys that are not
known are kept in the file and warned of: an older spoolq may share the spool with a newer one.
"""

from __future__ import annotations

import json
import os
from typing import Any, Callable, Dict, List, Mapping, NamedTuple, Optional, Tuple

from spoolq import keeping, platform, strictjson
from spoolq.checks import is_need
from spoolq.checks import number as check_number
from spoolq.errors import InvalidJob, InvalidSetting, WrongFormat
from spoolq.job import Job, Policy
from spoolq.text import closest

FILE = "config.json"
FORMAT = 1
MAX_FILE = 64 * 1024
MOST_TOKENS = 256  # of one limit: each that a job needs is a descriptor that its command inherits


class Settings(NamedTuple):
    """Everything that can be set; durations in seconds."""

    max_retries: int = 3
    backoff_base: float = 2
    backoff_max: float = 86_400
    backoff_jitter: float = 0
    timeout: Optional[float] = None
    max_log: Optional[int] = None
    durability: str = "full"
    sync_claims: bool = False
    grace: float = 5
    lease: float = 60
    hook_timeout: float = 60
    settle: float = 2
    orphans: str = "end"
    shell: str = "/bin/sh"
    capture_env: Tuple[str, ...] = ("PATH", "VIRTUAL_ENV", "CONDA_PREFIX", "LANG", "LC_ALL")
    group: Optional[str] = None
    retention: Optional[Dict[str, Any]] = None
    limits: Mapping[str, int] = {}  # noqa: RUF012 - never changed

    def policy(self, job: Job) -> Policy:
        """Return the numbers that decide on a job's retries: its own, else these."""
        return Policy(
            int(job.fields.get("max_retries", self.max_retries)),
            job.fields.get("backoff_base", self.backoff_base),
            self.backoff_max,
            self.backoff_jitter,
            job.fields.get("dead_on"),
            job.fields.get("retry_on"),
        )

    def timeout_of(self, job: Job) -> Optional[float]:
        """Return the seconds that one attempt of a job may take, or None."""
        timeout: Optional[float] = job.fields.get("timeout", self.timeout)
        return timeout


def _number(least: float, most: float, whole: bool = False) -> Callable[[Any], Any]:
    def check(value: Any) -> Any:
        check_number(value, least, most, whole)
        return int(value) if whole else value

    return check


def _one_of(*choices: str) -> Callable[[Any], Any]:
    def check(value: Any) -> Any:
        if value not in choices:
            raise ValueError(f"must be one of {', '.join(choices)}")
        return value

    return check


def _optional(check: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda value: None if value is None else check(value)


def _flag(value: Any) -> Any:
    if not isinstance(value, bool):
        raise ValueError("must be true or false")
    return value


def _program(value: Any) -> Any:
    if not isinstance(value, str) or not value or "\0" in value:
        raise ValueError("must be the path of a program")
    return value


def _names(value: Any) -> Any:
    texts = isinstance(value, list) and all(isinstance(item, str) for item in value)
    if not texts or any(not item or "=" in item or "\0" in item for item in value):
        raise ValueError("must be a list of names of variables")
    return tuple(value)


def _limits(value: Any) -> Any:
    if not isinstance(value, dict) or not all(map(is_need, value)):
        raise ValueError('must be an object of names and numbers, as {"gpu": 1, "net": 4}')
    for number in value.values():
        check_number(number, 0, MOST_TOKENS, whole=True)
    return {name: int(number) for name, number in value.items()}


def _group(value: Any) -> Any:
    try:
        platform.group_id(value)
    except (KeyError, TypeError, ValueError):
        raise ValueError("must be the name of a group of this system") from None
    return value


class Key(NamedTuple):
    """A key of config.json: its rule and what it means."""

    check: Callable[[Any], Any]
    meaning: str


KEYS: Dict[str, Key] = {
    "max_retries": Key(_number(0, 100_000, True), "retries after the first attempt"),
    "backoff_base": Key(_number(0, 86_400), "the wait after attempt n is base^n seconds"),
    "backoff_max": Key(_number(0, 315_360_000), "no wait is longer, in seconds"),
    "backoff_jitter": Key(_number(0, 10), "a wait grows by up to this share of it, at random"),
    "timeout": Key(_optional(_number(0.001, 315_360_000)), "seconds for one attempt; null: none"),
    "max_log": Key(
        _optional(_number(1, 2**60, True)), "bytes that one attempt may print; null: no end"
    ),
    "durability": Key(_one_of("full", "accept", "none"), "what is synced: full, accept or none"),
    "sync_claims": Key(_flag, "sync a claim before its command starts"),
    "grace": Key(_number(0, 86_400), "seconds between TERM and KILL when a run is ended"),
    "lease": Key(_number(5, 86_400), "after so long without a sign another host counts as dead"),
    "hook_timeout": Key(_number(0.1, 86_400), "seconds that a program in hooks/ may take"),
    "settle": Key(_number(0, 3_600), "seconds a file that does not parse may stand still"),
    "orphans": Key(_one_of("end", "wait"), "what a dead worker's commands get: end or wait"),
    "shell": Key(_program, "runs the commands that are text"),
    "capture_env": Key(_names, "variables that the command line keeps with a job"),
    "group": Key(_optional(_group), "may submit jobs; set by init --group"),
    "retention": Key(_optional(keeping.check), "how long what has ended is kept; null: for ever"),
    "limits": Key(_limits, "how much there is of what jobs need, for all workers together"),
}


def default(key: str) -> Any:
    """Return the value of a key that is not set."""
    return getattr(Settings(), key)


def read(data: Optional[bytes]) -> Tuple[Settings, List[str]]:
    """Read config.json.

    Args:
        data: the file's bytes, or None where there is no such file.

    Returns:
        The settings, and warnings about keys that are not known.

    Raises:
        InvalidSetting: it does not parse, or a value is wrong.
    """
    values, strangers = {}, []
    for key, value in raw(data).items():
        if key == "format":
            if value is True or value != FORMAT:
                raise WrongFormat(
                    f"this spool has format {value!r}, and this spoolq knows {FORMAT} only",
                    hint="update spoolq",
                )
        elif key in KEYS:
            values[key] = check(key, value)
        else:
            strangers.append(f"{FILE}: {key!r} is not a setting{_did_you_mean(key)}")
    return Settings(**values), strangers


def raw(data: Optional[bytes]) -> Dict[str, Any]:
    """Return the object in config.json, unchecked.

    Raises:
        InvalidSetting: it does not parse.
    """
    if data is None:
        return {}
    if len(data) > MAX_FILE:
        raise InvalidSetting(f"{FILE} is larger than {MAX_FILE // 1024} KiB")
    try:
        return strictjson.parse_object(data)[1]
    except InvalidJob as error:
        raise InvalidSetting(f"{FILE}: {error}", hint="mend it, or remove it") from None


def check(key: str, value: Any) -> Any:
    """Return the value as `Settings` holds it.

    Raises:
        InvalidSetting: the key cannot take it.
    """
    try:
        return KEYS[key].check(value)
    except ValueError as error:
        raise InvalidSetting(f"{key} {error}", hint=f"{key}: {KEYS[key].meaning}") from None


def known(key: str) -> str:
    """Return the key that a person means: `max-retries` is `max_retries`.

    Raises:
        InvalidSetting: there is no such key.
    """
    plain = key.replace("-", "_").lower()
    if plain not in KEYS:
        raise InvalidSetting(
            f"there is no setting {key!r}{_did_you_mean(plain)}",
            hint="the settings are " + ", ".join(KEYS),
        )
    return plain


def from_text(key: str, text: str) -> Any:
    """Return what a person typed as the JSON value of a key.

    Raises:
        InvalidSetting: the key cannot take it.
    """
    if isinstance(default(key), tuple):
        value: Any = [part for part in text.replace(",", " ").split() if part]
    else:
        try:
            value = json.loads(text)
        except ValueError:
            value = None if text.lower() == "none" else text
        if isinstance(default(key), str) and not isinstance(value, str):
            value = text
    check(key, value)
    return value


def write(values: Mapping[str, Any]) -> bytes:
    """Return config.json with these values."""
    return strictjson.dump_object({"format": FORMAT, **values})


def _did_you_mean(key: str) -> str:
    meant = closest(key, KEYS)
    return f"; did you mean {meant!r}?" if meant else ""


class LiveSettings:
    """The settings of a running worker: read anew when the file changes, and never made worse.

    A file that does not parse, or has a wrong value, leaves the last good settings in force.
    """

    def __init__(self, load: Callable[[], Optional[bytes]]) -> None:
        """Read the settings by way of `load`, which returns the file's bytes or None.

        Raises:
            InvalidSetting: there are no good settings to begin with.
        """
        self._load = load
        self._data = load()
        self.current, self._warnings = read(self._data)
        self._complaint = ""

    def refresh(self) -> List[str]:
        """Read the file if it has changed; return what there is to warn of, once."""
        try:
            data = self._load()
            if data != self._data:
                self._data = data
                self.current, self._warnings = read(data)
            self._complaint = ""
        except (InvalidSetting, WrongFormat) as error:
            if str(error) != self._complaint:
                self._complaint = str(error)
                self._warnings = [f"{error}; the last good settings stay in force"]
        warnings, self._warnings = self._warnings, []
        return warnings


# --- the environment ------------------------------------------------------------------------------


def environment() -> Mapping[str, str]:
    """Return the environment of this process, for who hands it on."""
    return os.environ


def default_spool(here: str, environment: Mapping[str, str] = os.environ) -> str:
    """Return the path of the spool to use where none is named.

    `$SPOOLQ_SPOOL`, else ./spool if this user made it, else the user's own under XDG_STATE_HOME.
    """
    named = environment.get("SPOOLQ_SPOOL")
    if named:
        return named
    local = os.path.join(here, "spool")
    try:
        owner = os.lstat(os.path.join(local, FILE)).st_uid
        if platform.WINDOWS or owner in _this_user(environment):
            return local
    except OSError as error:
        if error.errno in platform.FAILING_ERRNOS:
            return local  # a disk that fails: another spool would take the jobs in silence
        # No such spool, or not ours to see: then it is not the default.
    state = environment.get("XDG_STATE_HOME") or os.path.join(
        os.path.expanduser("~"), ".local", "state"
    )
    return os.path.join(state, "spoolq")


def _this_user(environment: Mapping[str, str]) -> Tuple[int, ...]:
    """Return the effective user, and under sudo the one who called it."""
    user = platform.effective_user()
    caller = environment.get("SUDO_UID", "")
    return (user, int(caller)) if user == 0 and caller.isdigit() else (user,)


def captured_environment(
    settings: Settings, environment: Mapping[str, str] = os.environ
) -> Dict[str, str]:
    """Return what the command line keeps of its environment with a job."""
    return {name: environment[name] for name in settings.capture_env if name in environment}
