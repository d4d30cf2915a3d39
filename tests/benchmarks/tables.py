"""The tables of the page, one function a part: figures in, lines of Markdown out."""

from typing import Any, Callable, Dict, List, Optional, Sequence

from tests.benchmarks.targets import Verdict, best_rival, to_best_rival

Figures = Dict[str, Any]
Lines = List[str]

NOT_ASKED_FOR = "not asked for"  # why a contender was left out


def short(value: Optional[float], unit: str = "") -> str:
    """Return a figure with three digits or so."""
    if value is None:
        return "–"
    size = abs(value)
    if size >= 100:
        text = f"{value:,.0f}"
    else:
        text = f"{value:.{1 if size >= 10 else 2 if size >= 0.1 or size == 0 else 3}f}"
    return f"{text} {unit}".strip()


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Lines:
    """Return a Markdown table; all but the first column are figures, and stand to the right."""
    lines = [head, ["---", *["--:"] * (len(head) - 1)], *rows]
    return ["| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines]


def targets(verdicts: Sequence[Verdict]) -> Lines:
    """Return what is aimed at, and whether it is met."""

    def said(bound: Optional[float], met: Optional[bool], verdict: Verdict) -> str:
        if bound is None:
            return ""
        sign = "≥" if verdict.target.at_least else "≤"
        words = {True: "met", False: "**not met**", None: "not measured"}[met]
        return f"{sign} {short(bound)}: {words}"

    rows = [
        [
            f"{verdict.target.part}: {verdict.target.what}",
            short(verdict.value, verdict.target.unit),
            said(verdict.target.floor, verdict.floor, verdict),
            said(verdict.target.goal, verdict.goal, verdict),
        ]
        for verdict in verdicts
    ]
    return table(["what", "measured", "floor", "goal"], rows)


def drain(figures: Figures) -> Lines:
    """Return who did how many jobs a second."""
    ordered = sorted(figures["contenders"].items(), key=lambda item: -item[1].get("a_second", 0))
    rows = [
        [
            name,
            short(one.get("a_second")),
            short(one.get("after_first_a_second")),
            short(one.get("to_xargs")),
            short(one.get("first_s"), "s"),
            f"{one['jobs']:,}",
            one["keeps"],
        ]
        for name, one in ordered
    ]
    head = ["", "jobs a second", "from the first job on", "to xargs", "first job", "jobs", "keeps"]
    lines = table(head, rows)
    lines.append("")
    for synced, said in ((False, "all other queues"), (True, "those that sync what they are told")):
        best = best_rival(figures, synced)
        if best:
            times = short(to_best_rival(figures, synced))
            lines.append(f"- Of {said}, {best} is the fastest; spoolq with `full` to it: {times}.")
    left_out = sorted(figures["left_out"].items())
    lines += [f"- {name} was left out: {why}." for name, why in left_out if why != NOT_ASKED_FOR]
    others = [name for name, why in left_out if why == NOT_ASKED_FOR]
    if others:
        lines.append(f"- Not asked for: {', '.join(others)}.")
    lines += [
        f"- {name} did not run each job once in {len(one['miscounted'])} rounds, which are left "
        f"out: {'; '.join(sorted(set(one['miscounted'])))}."
        for name, one in ordered
        if one["miscounted"]
    ]
    ended = figures["contenders"]["spoolq, full"].get("ended_s")
    if ended:
        lines += [
            f"- spoolq's worker had recorded everything and left {short(ended, 's')} after its "
            "start."
        ]
    ratios = figures["two_workers_to_one"]
    return lines + [
        "- Two workers of one slot, to one worker of two: "
        f"{short(ratios['full'])} with `full`, {short(ratios['none'])} with `none`."
    ]


def calls(figures: Figures) -> Lines:
    """Return who made how many calls a second, and how often rq's rate that is."""
    ordered = sorted(figures["contenders"].items(), key=lambda item: -(item[1]["a_second"] or 0))
    rivals = [*ordered[0][1]["to"]]
    rows = [
        [
            name,
            short(one["a_second"]),
            *(short(one["to"][rival]) for rival in rivals),
            f"{one['calls']:,}",
            one["keeps"],
        ]
        for name, one in ordered
    ]
    lines = table(
        ["", "calls a second", *(f"to {name}" for name in rivals), "calls", "keeps"], rows
    )
    notes = [f"- {name} was left out: {why}." for name, why in figures["left_out"].items()]
    notes += [
        f"- {name} did not make each call once in {len(one['miscounted'])} rounds, which are left "
        f"out: {'; '.join(sorted(set(one['miscounted'])))}."
        for name, one in ordered
        if one["miscounted"]
    ]
    return [*lines, "", *notes] if notes else lines


def enqueue(figures: Figures) -> Lines:
    """Return what it costs to get jobs in."""
    jobs = f"{figures['jobs']:,}"
    dropped = f"{figures['dropped_files']:,}"
    rows = [
        [f"`Spool.enqueue_many`, {jobs}", short(figures["enqueue_many_a_second"], "a second")],
        [f"`spoolq enqueue -`, {jobs}", short(figures["enqueue_lines_a_second"], "a second")],
        [f"bare files, {jobs}, one `syncfs`", short(figures["bare_bulk_a_second"], "a second")],
        ["`Spool.enqueue`, one durable job", short(figures["one_ms"], "ms")],
        ["bare write, fsync, rename, fsync", short(figures["bare_one_ms"], "ms")],
        ["`Spool.enqueue` to that", short(figures["one_to_bare"])],
        [
            f"worker's CPU for one of {dropped} files moved in, paused",
            short(figures["dropped_paused"]["worker_us_a_file"], "µs"),
        ],
        [
            f"worker's CPU for one of {dropped} files moved in, run to its end",
            short(figures["dropped_running"]["worker_us_a_file"], "µs"),
        ],
    ]
    return table(["", ""], rows)


def latency(figures: Figures) -> Lines:
    """Return how long a job waits for a free slot."""
    names = {
        "idle": "an idle worker",
        "busy": "a worker with three other slots that run something",
        "stream": "two workers that run a stream of other jobs, one each "
        f"{short(figures['stream_every_ms'], 'ms')}",
    }
    columns = ("p50_ms", "p95_ms", "p99_ms", "worst_ms")
    rows = [
        [said, *[short(figures[name][column]) for column in columns], str(figures[name]["samples"])]
        for name, said in names.items()
    ]
    return table(["ms", "p50", "p95", "p99", "worst", "samples"], rows)


def backlog(figures: Figures) -> Lines:
    """Return what a full spool costs."""
    rows = [
        [
            name,
            short(case["a_second"]),
            short(case["to_plain"]),
            short(case["first_s"], "s"),
            short(case["peak_mb"], "MB"),
        ]
        for name, case in figures["cases"].items()
    ]
    head = [f"beside the {figures['jobs']:,} jobs that run", "jobs a second", "to the first line"]
    return table([*head, "first job", "peak memory"], rows)


def idle(figures: Figures) -> Lines:
    """Return what a worker costs that does nothing."""
    return table(
        ["completed", "scheduled", "seconds", "CPU", "memory"],
        [
            [
                f"{figures['completed']:,}",
                f"{figures['later']:,}",
                str(figures["seconds"]),
                short(figures["cpu_percent"], "%"),
                short(figures["rss_mb"], "MB"),
            ]
        ],
    )


def cold(figures: Figures) -> Lines:
    """Return what the command line costs."""
    rows = [
        ["`spoolq enqueue true`", short(figures["enqueue_ms"], "ms")],
        ["`python -c 'import click'`", short(figures["import_click_ms"], "ms")],
        ["the one to the other", short(figures["to_import_click"])],
    ]
    for size in figures["sizes"]:
        for key, said in (("status", "status"), ("list", "list --limit 20"), ("show", "show ID")):
            rows.append([f"`spoolq {said}`, {size['jobs']:,} jobs", short(size[f"{key}_s"], "s")])
    return table(["", ""], rows)


def recovery(figures: Figures) -> Lines:
    """Return how soon lost runs run again."""
    orphans = figures["orphans"]
    rows = [
        [f"one job, median of {figures['times']}", short(figures["again_s"], "s")],
        [f"one job, worst of {figures['times']}", short(figures["worst_s"], "s")],
        [
            f"all of {orphans['count']} jobs, {orphans['pending']:,} more pending",
            short(orphans["all_again_s"], "s"),
        ],
    ]
    return table(["from the kill -9 to the start of", ""], rows)


def growth(figures: Figures) -> Lines:
    """Return the points that are plotted."""
    names = {
        "backlog": ("jobs pending", {"cpu_us": "CPU, µs a job", "wall_us": "time, µs a job"}),
        "slots": ("jobs asleep", {"cpu_percent": "CPU, % of a core", "rss_mb": "memory, MB"}),
        "workers": ("workers of one slot", {"a_second": "jobs a second"}),
        "job_bytes": ("bytes of the job", {"cpu_us": "CPU, µs a job", "wall_us": "time, µs a job"}),
        "output_bytes": (
            "bytes of output",
            {"cpu_us": "CPU, µs a job", "wall_us": "time, µs a job"},
        ),
    }
    lines: Lines = []
    for name, (x, columns) in names.items():
        rows = [
            [f"{point['x']:,}", *[short(point[column]) for column in columns]]
            for point in figures[name]
        ]
        lines += [*table([x, *columns.values()], rows), ""]
    return lines[:-1]


def limit(figures: Figures) -> Lines:
    """Return how near to xargs a loop comes, by what a job costs it, and what it costs spoolq."""
    rows = [
        [f"{point['x']:.0f} µs", short(point["us"], "µs"), short(point["to_xargs"])]
        for point in figures["curve"]
    ]
    lines = table(["computing a job", "from job to job", "to xargs"], rows)
    bounds = [f"{short(cost, 'µs')} for {goal}" for goal, cost in figures["may_cost_us"].items()]
    ours = figures["spoolq_us"]
    return [
        *lines,
        "",
        f"- `xargs -P2` takes {short(figures['xargs_us'], 'µs')} a job.",
        f"- So a job may cost the loop {' and '.join(bounds)} of that rate, beside its start.",
        f"- The bare system calls that the format asks of a job, without any sync, take "
        f"{short(figures['calls_us'], 'µs')}.",
        f"- spoolq's worker takes {short(ours['none'], 'µs')} with `none`, these calls and Python "
        f"together, and {short(ours['full'], 'µs')} with `full`.",
    ]


def micro(figures: Figures) -> Lines:
    """Return the two small figures."""
    start, sync = figures["start_of_a_process_us"], figures["sync_of_10_files_ms"]
    rows = [
        ["start of a process, spoolq's way", short(start["ours"], "µs")],
        ["start of a process, `subprocess.Popen`", short(start["Popen"], "µs")],
        ["ten new files made durable together", short(sync["together"], "ms")],
        ["ten new files made durable one by one", short(sync["one by one"], "ms")],
    ]
    return table(["", ""], rows)


TABLES: Dict[str, Callable[[Figures], Lines]] = {
    "drain": drain,
    "calls": calls,
    "limit": limit,
    "enqueue": enqueue,
    "latency": latency,
    "backlog": backlog,
    "idle": idle,
    "cold": cold,
    "recovery": recovery,
    "growth": growth,
    "micro": micro,
}
