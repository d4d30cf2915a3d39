"""What a page says a command prints, against what it printed: the same but for what must differ.

Ids, names of workers and their pids are others in every run, yet the same throughout one page:
the first time that an id of the page is met, it is bound to the one that was printed, and from
then on stands for that. Times, durations and the width of gaps may be any. A line `…` stands for
any number of lines, and `…` in a line for any text.
"""

import re
from typing import Dict, List, Optional

WORKER = r"[A-Za-z0-9][\w-]*-\d+-[a-z0-9]{6}\b"
#: An id on a page has a digit, or every word of 13 letters were one; a made one may have none.
ID = r"\b(?=[a-z]*[0-9])[0-9a-z]{13}\b"
MADE = r"\b[0-9a-z]{13}\b"
TIMES = [
    r"\d{8}T\d{12}Z",
    r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(?:[.,]\d+)?(?:Z|[+-]\d\d:\d\d)?",
    r"\b\d\d:\d\d(?::\d\d)?\b",
]
DURATION = r"\b(?:\d+ [dh] )?\d+(?:\.\d+)? (?:µs|ms|s|m|min|h|d)\b|\b\d+m\d+\.\d+s\b"
TOKEN = re.compile(
    f"(?P<worker>{WORKER})|(?P<time>{'|'.join(TIMES)})|(?P<id>{ID})|(?P<duration>{DURATION})"
    r"|(?P<gap>[ \t]+)|(?P<any>…)|(?P<number>\b\d+\b)"
)
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b\][^\x07]*\x07|\x1b[=>]")

#: What prints a table or a story: its layout is its own matter, and facts alone are compared.
LAID_OUT = re.compile(
    r"^spoolq(?: --spool \S+)?(?:$| (?:status|list|show|dlq list|worker list)\b(?!.*--json))"
)
FACTS = re.compile(
    rf"{WORKER}|{ID}|\b(?:pending|processing|failed|completed|dead|worker lost|cancelled)\b"
    r"|\bexit code \d+|\bline \d+\b"
)


def plain(text: str) -> str:
    """Return what a terminal shows of this text, line by line."""
    lines = ESCAPES.sub("", text).replace("\r\n", "\n").split("\n")
    return "\n".join(line.rsplit("\r", 1)[-1].rstrip() for line in lines)


class Bindings:
    """What the ids, workers and pids of a page are called in this run."""

    def __init__(self) -> None:
        self.real: Dict[str, str] = {}

    def _bind(self, told: str, real: str) -> None:
        self.real[told] = real
        if re.fullmatch(WORKER, told):
            self.real[told.split("-")[-2]] = real.split("-")[-2]

    def command(self, text: str) -> str:
        """Return a command of the page with what its ids are called in this run."""

        def exchange(match: "re.Match[str]") -> str:
            word = match.group()
            if word in self.real:
                return self.real[word]
            fitting = [told for told in self.real if len(word) >= 4 and told.startswith(word)]
            return self.real[fitting[0]] if len(fitting) == 1 else word

        return re.sub(r"[\w-]+", exchange, text) if self.real else text

    def told(self, text: str) -> str:
        """Return the output of a command with what its ids are called on the page."""
        for told, real in sorted(self.real.items(), key=lambda item: -len(item[1])):
            text = re.sub(rf"(?<![\w]){re.escape(real)}(?![\w])", told, text)
        return text

    def pattern(self, expected: List[str]) -> "re.Pattern[str]":
        """Return what the output must match; what is met for the first time is a named group."""
        self._groups: Dict[str, str] = {}
        parts = []
        for line in expected:
            if line.strip() == "…":
                parts.append(r"(?:.*\n)*?")
                continue
            at = 0
            for token in TOKEN.finditer(line):
                parts.append(re.escape(line[at : token.start()]))
                parts.append(self._token(token))
                at = token.end()
            parts.append(re.escape(line[at:]) + "\n")
        return re.compile("".join(parts))

    def _token(self, token: "re.Match[str]") -> str:
        kind, text = token.lastgroup, token.group()
        if kind == "gap":
            return "[ \t]+"
        if kind == "any":
            return ".*?"
        if kind == "time":
            return f"(?:{'|'.join(TIMES)})"
        if kind == "duration":
            return f"(?:{DURATION})"
        if text in self.real:
            return re.escape(self.real[text])
        if kind == "number":
            pids = [name.split("-")[-2] for name in self._groups if re.fullmatch(WORKER, name)]
            return r"\d+" if text in pids else re.escape(text)
        if text in self._groups:
            return f"(?P={self._groups[text]})"
        self._groups[text] = f"g{len(self._groups)}"
        return f"(?P<{self._groups[text]}>{WORKER if kind == 'worker' else MADE})"

    def fault(self, command: str, expected: List[str], printed: str) -> Optional[str]:
        """Return what is wrong with the output of a command, or None; bind what is new."""
        actual = printed.strip("\n") + "\n" if printed.strip("\n") else ""
        if LAID_OUT.match(command):
            missing = [
                fact
                for fact in FACTS.findall("\n".join(expected))
                if self.real.get(fact, fact) not in actual
            ]
            silent = bool(expected) and not actual.strip()
            return (
                f"says nothing of {', '.join(missing) or 'anything'}" if missing or silent else None
            )
        match = self.pattern(expected).fullmatch(actual)
        if match is None:
            return "prints something else"
        for told, group in self._groups.items():
            self._bind(told, match.group(group))
        return None
