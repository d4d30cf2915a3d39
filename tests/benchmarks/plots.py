"""The plots of the page, as SVG: small, with text that is text, and the same bytes each time."""

from pathlib import Path
from typing import Any, Dict, List, Tuple

from tests.benchmarks.targets import main_entry

OURS, THEIRS, OTHER = "#1f6fb2", "#9aa5ad", "#c7641b"
SETTINGS = {
    "svg.fonttype": "none",
    "svg.hashsalt": "spoolq",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e4e4e4",
    "axes.axisbelow": True,
}
#: What growth is plotted: file, its points, label of x, logarithmic x, and each curve with label.
GROWTH: List[Tuple[str, str, str, bool, Dict[str, str]]] = [
    (
        "backlog",
        "backlog",
        "jobs pending",
        True,
        {"cpu_us": "worker's CPU", "wall_us": "elapsed, two slots"},
    ),
    ("slots", "slots", "jobs that sleep", False, {"cpu_percent": "worker's CPU"}),
    ("workers", "workers", "workers of one slot each", False, {"a_second": "all together"}),
    (
        "job-size",
        "job_bytes",
        "bytes of the job's file",
        True,
        {"cpu_us": "worker's CPU", "wall_us": "elapsed, two slots"},
    ),
    (
        "output-size",
        "output_bytes",
        "bytes that the command prints",
        True,
        {"cpu_us": "worker's CPU", "wall_us": "elapsed, two slots"},
    ),
]
_UNITS = {
    "cpu_us": "µs a job",
    "wall_us": "µs a job",
    "cpu_percent": "% of a core",
    "a_second": "jobs a second",
}


def draw(parts: Dict[str, Any], directory: Path) -> List[str]:
    """Write the plots for which there are figures and return their names."""
    import matplotlib

    matplotlib.use("Agg")
    directory.mkdir(parents=True, exist_ok=True)
    written = []
    with matplotlib.rc_context(SETTINGS):
        entry = main_entry(parts, "drain")
        if entry is not None:
            _bars(entry["figures"], directory / "drain.svg")
            written.append("drain")
        entry = main_entry(parts, "growth")
        if entry is not None:
            for name, points, x, logarithmic, curves in GROWTH:
                path = directory / f"{name}.svg"
                _curves(entry["figures"][points], x, logarithmic, curves, path)
                written.append(name)
    return written


def save(figure: Any, path: Path) -> None:
    """Write a figure as SVG, the same bytes each time, and let it go."""
    import matplotlib.pyplot as plt

    figure.savefig(path, format="svg", bbox_inches="tight", metadata={"Date": None})
    plt.close(figure)


def _bars(drain: Dict[str, Any], path: Path) -> None:
    import matplotlib.pyplot as plt

    done = {name: one for name, one in drain["contenders"].items() if one.get("a_second")}
    names = sorted(done, key=lambda name: done[name]["a_second"])
    figure, axes = plt.subplots(figsize=(6.4, 0.6 + 0.27 * len(names)))
    colours = {"ours": OURS, "runner": OTHER, "queue": THEIRS}
    speeds = [done[name]["a_second"] for name in names]
    kinds = [done[name]["kind"] for name in names]
    bars = axes.barh(names, speeds, color=[colours[kind] for kind in kinds], height=0.7)
    axes.bar_label(bars, fmt="%.0f", padding=2)
    axes.set_xlabel("jobs a second, two at a time, start of the worker included")
    axes.grid(axis="y", visible=False)
    told = {"ours": "spoolq", "queue": "other queues", "runner": "keeps nothing"}
    patches = [plt.Rectangle((0, 0), 1, 1, color=colours[kind]) for kind in told]
    axes.legend(patches, told.values(), loc="lower right", frameon=True)
    save(figure, path)


def _curves(
    points: List[Dict[str, float]], x: str, logarithmic: bool, curves: Dict[str, str], path: Path
) -> None:
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(4.6, 2.6))
    xs = [point["x"] for point in points]
    for (field, label), colour in zip(curves.items(), (OURS, OTHER)):
        axes.plot(xs, [point[field] for point in points], "o-", color=colour, label=label)
    if logarithmic:
        positive = [value for value in xs if value > 0]
        axes.set_xscale("symlog", linthresh=min(positive)) if 0 in xs else axes.set_xscale("log")
    else:
        axes.set_xticks(xs)
    axes.set_ylim(bottom=0)
    axes.set_xlabel(x)
    axes.set_ylabel(_UNITS[next(iter(curves))])
    axes.legend(frameon=False)
    save(figure, path)
