"""Make the manual pages in docs/man from the program; a test compares the two.

    python docs/make_man.py

One page for the program, one for each verb, one for each verb of a group. click-man is not used:
it follows neither groups that import their verbs late nor blocks that click is to leave alone, and
escapes little. The pages have no date, so that the same program gives the same pages.
"""

import inspect
import re
import sys
from pathlib import Path

import click

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPOSITORY))

import spoolq  # noqa: E402
from spoolq.cli.main import cli  # noqa: E402

PAGES = REPOSITORY / "docs" / "man"

ENVIRONMENT = (
    ("SPOOLQ_SPOOL", "The spool where --spool names none."),
    (
        "XDG_STATE_HOME",
        "Where the spool of a user is, in its directory spoolq, where neither names one and there "
        "is no ./spool of that user's own; else ~/.local/state.",
    ),
    ("NO_COLOR", "If set, no colour; --color goes before it."),
    ("COLUMNS", "The width of the terminal, where that does not say it."),
)

_ROFF = {"\\": "\\e", "-": "\\-", "'": "\\(aq", "`": "\\(ga", "^": "\\(ha", "~": "\\(ti"}


def roff(text):
    """Escape text, so that it is shown as it is and can be pasted into a shell."""
    escaped = "".join(_ROFF.get(char, char) for char in text)
    return "\\&" + escaped if escaped.startswith(".") else escaped


def prose(text):
    """Escape a paragraph; what is in backquotes is set in bold."""
    parts = re.split(r"`([^`]+)`", " ".join(text.split()))
    return "".join(
        f"\\fB{roff(part)}\\fR" if at % 2 else roff(part) for at, part in enumerate(parts)
    )


def spelled(option):
    """Escape an option with what it takes: the one in bold, the other in italics."""
    words = [
        f"\\f{'B' if word.startswith('-') else 'I'}{roff(word)}\\fR" for word in option.split()
    ]
    return " ".join(words)


def split(text):
    """Return a help text as its paragraphs and the lines of its examples."""
    paragraphs, examples = [], []
    for block in inspect.cleandoc(text).split("\n\n"):
        if block.startswith("\b\n"):
            examples += block.splitlines()[1:]
        else:
            paragraphs.append(block)
    return paragraphs, examples


def page_name(ctx):
    return ctx.command_path.replace(" ", "-")


def page(ctx, children):
    """Return the page of a command."""
    command, name = ctx.command, page_name(ctx)
    paragraphs, examples = split(command.help)
    lines = [
        '.\\" Made by docs/make_man.py from the program; not to be changed by hand.',
        f'.TH {roff(name.upper())} 1 "" "spoolq {spoolq.__version__}" "spoolq manual"',
        ".SH NAME",
        f"{roff(name)} \\- {prose(paragraphs[0].splitlines()[0].rstrip('.'))}",
        ".SH SYNOPSIS",
        f"\\fB{roff(ctx.command_path)}\\fR",
        roff(" ".join(command.collect_usage_pieces(ctx))),
        ".SH DESCRIPTION",
    ]
    for at, paragraph in enumerate(paragraphs):
        lines += [".PP"] * bool(at) + [prose(paragraph)]
    if children:
        lines.append(".SH COMMANDS")
        for child in children:
            first = split(child.command.help)[0][0].splitlines()[0]
            lines += [".TP", f"\\fB{roff(page_name(child))}\\fR(1)", prose(first)]
    lines.append(".SH OPTIONS")
    for param in command.get_params(ctx):
        record = param.get_help_record(ctx)
        if isinstance(param, click.Option) and record is not None:
            lines += [".TP", spelled(record[0]), prose(record[1])]
    lines += [".SH EXAMPLES", ".nf", *(roff(line) for line in examples), ".fi"]
    if ctx.parent is None:
        lines += [".SH EXIT STATUS", *definitions(exit_codes())]
        lines += [".SH ENVIRONMENT", *definitions(ENVIRONMENT)]
    others = [child for child in (ctx.parent, ctx.find_root()) if child not in (None, ctx)]
    if others:
        names = dict.fromkeys(page_name(other) for other in others)
        lines += [".SH SEE ALSO", ", ".join(f"\\fB{roff(other)}\\fR(1)" for other in names)]
    return "\n".join(lines) + "\n"


def definitions(rows):
    return [line for head, text in rows for line in (".TP", f"\\fB{roff(head)}\\fR", prose(text))]


def exit_codes():
    """Return the exit codes as docs/cli.md has them."""
    text = (REPOSITORY / "docs" / "cli.md").read_text(encoding="utf-8")
    return re.findall(r"^\| (\d+) \| (.*) \|$", text, re.MULTILINE)


def pages():
    """Return the pages of the program and of all its verbs, by file name."""
    found = {}

    def walk(command, name, parent):
        settings = command.context_settings
        with click.Context(command, info_name=name, parent=parent, **settings) as ctx:
            children = []
            if isinstance(command, click.Group):
                for verb in command.list_commands(ctx):
                    children.append(walk(command.get_command(ctx, verb), verb, ctx))
            found[f"{page_name(ctx)}.1"] = page(ctx, children)
            return ctx

    walk(cli, "spoolq", None)
    return found


if __name__ == "__main__":
    made = pages()
    PAGES.mkdir(exist_ok=True)
    for old in PAGES.glob("*.1"):
        if old.name not in made:
            old.unlink()
    for filename, text in made.items():
        (PAGES / filename).write_text(text, encoding="utf-8")
