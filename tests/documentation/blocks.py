"""The fenced blocks of a page, with the comments before them."""

import re
from typing import Dict, List, NamedTuple, Tuple

FENCE = re.compile(r"^( *)(`{3,})\s*([\w{}:-]*)\s*(.*)$")
COMMENT = re.compile(r"^ *<!-- (not run|second terminal|file|exits|needs|crontab)(?:: (.*))? -->$")

#: Blocks that are run, and how: typed into a shell, or given to a program as a file.
SHELL = ("sh", "console")
PROGRAMS = {"python": "python", "php": "php", "js": "node"}
RUN = (*SHELL, *PROGRAMS, "json")
#: Blocks in which there is no command.
READ = ("text", "ini", "yaml", "dockerfile", "promql")


class Typed(NamedTuple):
    """A command of a console block, and the lines that it is said to print."""

    line: int
    command: str
    expected: List[str]


class Block(NamedTuple):
    """A fenced block: where it begins and ends (lines from 1, of its text), and what is told."""

    page: str
    line: int
    language: str
    text: str
    told: Dict[str, str]

    @property
    def place(self) -> str:
        return f"{self.page}:{self.line}"

    @property
    def is_run(self) -> bool:
        runs = self.language in RUN or "crontab" in self.told or "file" in self.told
        return runs and "not run" not in self.told

    @property
    def programs(self) -> List[str]:
        """The programs, or modules of Python, that must be here to run it."""
        program = PROGRAMS.get(self.language, "") if "file" not in self.told else ""
        named = [*self.told.get("needs", "").split(), program]
        return [each for each in named if each not in ("", "python")]

    def typed(self) -> List[Typed]:
        """Return what is typed: of a console block each command, of another one all at once."""
        if self.language != "console":
            return [Typed(self.line, self.text, [])]
        found: List[Typed] = []
        for number, line in enumerate(self.text.splitlines(), self.line):
            if line.startswith("$ "):
                found.append(Typed(number, line[2:], []))
            elif line.startswith("> ") and found and not found[-1].expected:
                found[-1] = found[-1]._replace(command=f"{found[-1].command}\n{line[2:]}")
            elif found:
                found[-1].expected.append(line)
            else:
                raise ValueError(f"{self.page}:{number}: output before a command")
        return found


def read(page: str, text: str) -> Tuple[List[Block], List[str]]:
    """Return the blocks of a page, and what is wrong with how they are written."""
    blocks, wrong = [], []
    told: Dict[str, str] = {}
    opened = None
    lines: List[str] = []
    for number, line in enumerate(text.splitlines(), 1):
        if opened:
            indent, fence, language, start = opened
            if line.strip() == fence:
                block = Block(page, start, language, "".join(f"{each}\n" for each in lines), told)
                blocks.append(block)
                told, opened, lines = {}, None, []
            else:
                lines.append(line[len(indent) :] if line.startswith(indent) else line)
            continue
        fence = FENCE.match(line)
        comment = COMMENT.match(line)
        if fence:
            indent, ticks, language, _ = fence.groups()
            opened = indent, ticks, language, number + 1
            if not language.startswith("{") and language not in (*RUN, *READ):
                wrong.append(f"{page}:{number}: a block in {language or 'no language'}")
        elif comment:
            told[comment.group(1)] = comment.group(2) or ""
        elif line.strip():
            wrong += [f"{page}:{number}: {key!r} stands before no block" for key in told]
            told = {}
    if opened:
        wrong.append(f"{page}:{opened[3]}: a block without an end")
    return [block for block in blocks if not block.language.startswith("{")], wrong
