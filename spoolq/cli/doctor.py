"""`doctor`: what is wrong with a spool and the machine it is on."""

from __future__ import annotations

import sys
import textwrap
from typing import Any, Dict, List

import click

from spoolq import doctor as core
from spoolq.cli import render
from spoolq.cli.verbs import PROBLEMS, Verb, spool_path
from spoolq.doctor import Finding, Report

_WIDTH = 79
_SHOWN = 5  # of one code; --json has all
_MARGIN = " " * 10


@click.command(cls=Verb)
@click.option("--repair", is_flag=True, help="Mend what can be mended without losing anything.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
@click.pass_context
def doctor(ctx: click.Context, repair: bool, as_json: bool) -> None:
    """Look for what is wrong with the spool and the machine.

    Exits with 4 where something is. --repair never removes a job or a log, and ends no command;
    what is left for a person to decide is said with each finding.

    \b
    spoolq doctor
    spoolq doctor --repair
    spoolq doctor --json | jq '.findings[].code'
    """
    report = core.examine(spool_path(), repair=repair)
    if as_json:
        render.document(report.as_dict())
    else:
        show(report, repair=repair)
    if not report.is_well:
        ctx.exit(PROBLEMS)


def show(report: Report, *, repair: bool) -> None:
    """Print what was found for a person."""
    by_code: Dict[Any, List[Finding]] = {}
    for finding in report.findings:
        by_code.setdefault((finding.code, finding.repaired), []).append(finding)
    for found in by_code.values():
        for finding in found[:_SHOWN]:
            _show_finding(finding)
        if len(found) > _SHOWN:
            render.out(f"{_MARGIN}and {len(found) - _SHOWN} more of these; --json names them all")
    render.out(_verdict(report))
    _show_facts(report.facts)
    mendable = sum(finding.mend is not None for finding in report.findings)
    if mendable and not repair:
        render.say(f"{mendable} of these can be repaired without a loss:  spoolq doctor --repair")


def _show_finding(finding: Finding) -> None:
    label, style = finding.severity, "red" if finding.severity == core.PROBLEM else "yellow"
    if finding.repaired:
        label, style = "repaired", "green"
    place = f"  {render.escape(finding.path)}" if finding.path else ""
    code = render.painted(finding.code, "bold", sys.stdout)
    render.out(f"{render.painted(label.ljust(8), style, sys.stdout)}  {code}{place}")
    for line in textwrap.wrap(
        render.escape(finding.what),
        _WIDTH - len(_MARGIN),
        break_long_words=False,
        break_on_hyphens=False,
    ):
        render.out(_MARGIN + line)
    if finding.fix and not finding.repaired:
        render.out(
            f"{_MARGIN}{render.painted('fix:', 'bold', sys.stdout)} {render.escape(finding.fix)}"
        )


def _verdict(report: Report) -> str:
    repaired = sum(finding.repaired for finding in report.findings)
    wrong = sum(f.severity == core.PROBLEM and not f.repaired for f in report.findings)
    spool = render.escape(report.path)
    done = f"{repaired} repaired; " if repaired else ""
    if wrong:
        count = "1 problem" if wrong == 1 else f"{wrong} problems"
        left = render.painted(f"{done}{count}", "red", sys.stdout)
        return f"{left} with {spool}"
    return f"{done}{render.painted('all is well', 'green', sys.stdout)} with {spool}"


def _show_facts(facts: Dict[str, Any]) -> None:
    """Print what is true of the place: versions, filesystem, what works."""
    libraries = ", ".join(
        f"{name} {facts[name]}" for name in ("click", "portalocker", "watchdog") if facts[name]
    )
    trials = ", ".join(
        f"{what} {'yes' if facts[key] else 'no'}"
        for key, what in (
            ("locks", "locks"),
            ("rename_noreplace", "rename-noreplace"),
            ("directory_sync", "directory sync"),
            ("events", "events"),
        )
        if key in facts
    )
    jobs = ", ".join(f"{count} {state}" for state, count in facts["jobs"].items() if count)
    rows = [
        ("versions", f"spoolq {facts['spoolq']}, Python {facts['python']}, {facts['kernel']}"),
        ("", libraries),
        ("disk", _disk(facts)),
        ("works", trials),
        ("jobs", f"{jobs or 'none'}; workers: {facts['workers']}"),
    ]
    for head, text in rows:
        if text:
            render.out(f"  {render.painted(head.ljust(8), 'dim', sys.stdout)}  {text}")


def _disk(facts: Dict[str, Any]) -> str:
    parts = [str(facts.get("filesystem") or "unknown filesystem")]
    if "free_bytes" in facts:
        parts.append(f"{facts['free_bytes'] / 2**30:.1f} GiB free")
    if facts.get("free_inodes") is not None:
        parts.append(f"{facts['free_inodes']} inodes free")
    return ", ".join(map(render.escape, parts))
