"""docs/features.md, made of the table and of what came when it was tried."""

import json
import re
from typing import Any, Dict, List

from tests.comparison import cells
from tests.comparison.cells import HERE, TOOLS, Cell, Feature, Tool

RESULTS = HERE / "results.json"
PAGE = HERE.parent.parent / "docs" / "features.md"
#: Of what was printed, so many lines, and so many characters of each.
LINES, WIDTH = 6, 96
README = PAGE.parent.parent / "README.md"
#: The short table of the README: its rows, and the features that each sums up.
SHORT = {
    "no server": ["alone"],
    "survives `kill -9` of everything": ["kill-waiting", "kill-running"],
    "retries, dead letters, exit codes, a job's own wish": ["retries", "dead", "codes", "wishes"],
    "priorities, later times, hold, edit": ["priority", "later", "hold", "edit"],
    "after success, after any end, failure down the chain": ["after", "after-any", "cascade"],
    "one for a key; named limits": ["unique", "tokens"],
    "cron, time zones, missed ticks": ["recurring", "zone", "missed"],
    "wait for a batch, stop it when it goes wrong": ["wait", "halt"],
    "output, progress, checkpoints for each job": ["output", "progress", "checkpoint"],
    "live view, web view, Prometheus": ["live", "web", "metrics"],
    "hooks, events, retention, archive": ["hooks", "events", "retention", "archive"],
    "Python calls in warm processes": ["calls", "warm"],
    "suspend what runs, type into it": ["suspend", "stdin"],
    "results handed on, arguments from lists": ["pipeline", "arguments"],
    "several machines, clients elsewhere": ["hosts", "remote"],
    "no interpreter": ["tiny"],
}
_BEGIN = "<!-- made by python -m tests.comparison --write -->\n"
_END = "<!-- end -->\n"
#: What is on the page besides.
_TEXT = HERE / "page.md"


def keep(tried: Dict[str, Any]) -> None:
    """Put new results beside the old ones, and make the page of all of them."""
    results = read_results()
    for name, found in tried.items():
        old = results.setdefault(name, {"cells": {}})
        old["version"] = found["version"]
        named = {**old["cells"], **found["cells"]}
        column = cells.column(name)[1]
        old["cells"] = {feature: named[feature] for feature in column if feature in named}
    text = json.dumps(results, indent=1, ensure_ascii=False, sort_keys=True)
    RESULTS.write_text(text + "\n", encoding="utf-8")
    PAGE.write_text(text_of(results), encoding="utf-8")
    README.write_text(with_short(README.read_text(encoding="utf-8")), encoding="utf-8")


def read_results() -> Dict[str, Any]:
    """Return what came of the trials the last time."""
    if not RESULTS.exists():
        return {}
    results: Dict[str, Any] = json.loads(RESULTS.read_text(encoding="utf-8"))
    return results


def text_of(results: Dict[str, Any]) -> str:
    """Return the page."""
    columns = {name: cells.column(name) for name in TOOLS}
    features = cells.features()
    groups = list(dict.fromkeys(feature.group for feature in features))
    versions = ", ".join(_version(tool, results) for tool, _ in columns.values())
    rows = {group: [each for each in features if each.group == group] for group in groups}
    text = _TEXT.read_text(encoding="utf-8")
    for name, part in {
        "versions": versions,
        "tables": "\n".join(_table(group, rows[group], columns) for group in groups),
        "before": "\n".join(_before(tool) for tool, _ in columns.values() if tool.before),
        "trials": "\n".join(_trials(group, rows[group], columns, results) for group in groups),
    }.items():
        text = text.replace(f"{{{name}}}", part)
    return text.rstrip() + "\n"


def with_short(readme: str) -> str:
    """Return the README with the short table as it is now."""
    columns = {name: cells.column(name)[1] for name in TOOLS}
    lines = [f"| | {' | '.join(TOOLS)} |", f"|---|{'---|' * len(TOOLS)}"]
    for title, names in SHORT.items():
        row = [_sum([columns[tool][name] for name in names]) for tool in TOOLS]
        lines.append(f"| {title} | {' | '.join(row)} |")
    before, rest = readme.split(_BEGIN)
    table = "\n".join(lines)
    return f"{before}{_BEGIN}\n{table}\n\n{_END}{rest.split(_END)[1]}"


def _sum(given: List[Cell]) -> str:
    said = {cell.verdict for cell in given}
    word = said.pop() if len(said) == 1 else "partly"
    word = "–" if word == "no" else word
    return f"*{word}*" if given[0].source else word


def _version(tool: Tool, results: Dict[str, Any]) -> str:
    # One that needs nothing is never tried, and its file says which version is spoken of.
    version = results.get(tool.name, {}).get("version", "") if tool.needs else tool.version
    return f"[{tool.name}]({tool.url}) {version}"


def _table(group: str, rows: List[Feature], columns: Dict[str, Any]) -> str:
    lines = [f"## {group}\n", f"| | {' | '.join(TOOLS)} |", f"|---|{'---|' * len(TOOLS)}"]
    for feature in rows:
        row = [_short(columns[name][1][feature.name]) for name in TOOLS]
        lines.append(f"| [{feature.title}](#{_anchor(feature)}) | {' | '.join(row)} |")
    return "\n".join(lines) + "\n"


def _trials(
    group: str, rows: List[Feature], columns: Dict[str, Any], results: Dict[str, Any]
) -> str:
    sections = [_section(feature, columns, results) for feature in rows]
    return "\n".join([f"## Trials: {group[0].lower()}{group[1:]}\n", *sections])


def _anchor(feature: Feature) -> str:
    return re.sub(r"[^\w -]", "", feature.title.lower()).replace(" ", "-")


def _short(cell: Cell) -> str:
    return f"*{cell.verdict}*" if cell.source else cell.verdict


def _before(tool: Tool) -> str:
    return f"{tool.name}:\n\n```sh\n{tool.before.strip()}\n```\n"


def _section(feature: Feature, columns: Dict[str, Any], results: Dict[str, Any]) -> str:
    parts = [f"### {feature.title}\n\n{feature.asks}\n"]
    for name in TOOLS:
        cell = columns[name][1][feature.name]
        said = f"{cell.verdict}, {cell.words}"
        if cell.source:
            parts.append(f"**{name}**: *{said}* ([source]({cell.source}), not tried).\n")
            continue
        printed = results.get(name, {}).get("cells", {}).get(feature.name, {}).get("printed", "")
        parts.append(f"**{name}**: {said}{_trial(cell.run, printed)}")
    return "\n".join(parts)


def _trial(typed: str, printed: str) -> str:
    came = _shortened(printed)
    if "\n" not in typed and len(came) <= 1 and "`" not in typed + printed:
        return f": `{typed}` printed {f'`{came[0]}`' if came else 'nothing'}.\n"
    answer = "\n".join(f"#> {line}".rstrip() for line in came)
    return f".\n\n```sh\n{typed}\n{answer}\n```\n"


def _shortened(printed: str) -> List[str]:
    lines = [line.rstrip() for line in _plain(printed).splitlines() if line.strip()]
    lines = [line if len(line) <= WIDTH else f"{line[: WIDTH - 1]}…" for line in lines]
    return lines if len(lines) <= LINES else [*lines[: LINES - 2], "…", lines[-1]]


def _plain(text: str) -> str:
    """Return the text without what colours it, and without what else does not print."""
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text).replace("\r", "")
    return "".join(sign for sign in text if sign == "\n" or sign.isprintable())
