"""The plots of docs/scaling.md, in the manner of those of the benchmarks."""

from pathlib import Path
from typing import Any

from tests.benchmarks.plots import OTHER, OURS, SETTINGS, THEIRS, save
from tests.scaling import scenarios
from tests.scaling.rows import middle

_COLOURS = (OURS, OTHER, "#3f8f4f", THEIRS)


def draw(directory: Path) -> None:
    """Write all of them."""
    import matplotlib

    matplotlib.use("Agg")
    directory.mkdir(parents=True, exist_ok=True)
    with matplotlib.rc_context(SETTINGS):
        for name, plot in _PLOTS.items():
            plot(directory / f"{name}.svg")


def _axes(count: int = 1) -> Any:
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, count, figsize=(4.2 * count + 0.4, 3.0), squeeze=False)
    return figure, axes[0]


def _workers(path: Path) -> None:
    figure, axes = _axes(2)
    titles = {0.0: "jobs that take no time", 1.0: "jobs that sleep for a second"}
    for axis, (nap, title) in zip(axes, titles.items()):
        for colour, (shards, rates) in zip(_COLOURS, scenarios.by_workers(nap).items()):
            label = f"{shards} spool{'s' if shards > 1 else ''}"
            axis.loglog(scenarios.WORKERS, rates, "o-", ms=3, color=colour, label=label)
        axis.axhline(1e8 / scenarios.A_DAY, color="black", lw=0.7, ls=":")
        where = (1000, 1e8 / scenarios.A_DAY * 1.1)
        axis.annotate("$10^8$ a day", where, fontsize=7, ha="right")
        axis.set_title(title, fontsize=9)
        axis.set_xlabel("workers of one slot, all together")
        axis.set_ylabel("jobs a second")
    axes[1].legend(frameon=False, fontsize=8)
    save(figure, path)


def _waits(path: Path) -> None:
    figure, (axis,) = _axes()
    for colour, (workers, slots) in zip(_COLOURS, ((1, 4), (4, 1), (16, 1))):
        loads, half, most = zip(*scenarios.waits(workers, slots))
        label = f"{workers} of {slots} slot{'s' if slots > 1 else ''}"
        axis.semilogy(loads, [1e3 * wait for wait in half], "o-", ms=3, color=colour, label=label)
        axis.semilogy(loads, [1e3 * wait for wait in most], "--", lw=0.9, color=colour)
    axis.set_xlabel("load, of what the host carries")
    axis.set_ylabel("ms until the command starts")
    axis.set_ylim(top=200)
    axis.legend(frameon=False, fontsize=8, title="half of them; dashed: 99 of 100")
    save(figure, path)


def _backlog(path: Path) -> None:
    figure, (axis,) = _axes()
    for colour, a_day in zip(_COLOURS, (1.2e8, 1e8, 8e7)):
        waiting = [some / 1e6 for some in scenarios.days(1, a_day)]
        axis.plot([hour / 24 for hour in range(len(waiting))], waiting, color=colour)
        axis.annotate(f"{a_day / 1e6:.0f} million a day", (3.05, waiting[-1]), fontsize=7)
    axis.set_xlabel("days")
    axis.set_ylabel("million jobs that wait")
    axis.set_ylim(bottom=0)
    save(figure, path)


def _directory(path: Path) -> None:
    figure, axes = _axes(2)
    steps = scenarios.MEASURED["steps"]
    rows = [middle(steps[f"directory of {size}"]) for size in scenarios.PENDING]
    labels = {"create": "make a file", "rename_into": "rename into", "rename_out": "rename out of"}
    for colour, (key, label) in zip(_COLOURS, labels.items()):
        micro = [1e6 * row[key] for row in rows]
        axes[0].semilogx(scenarios.PENDING, micro, "o-", ms=3, color=colour, label=label)
    axes[0].set_ylabel("µs of a core, measured")
    for colour, (workers, slots) in zip(_COLOURS, ((1, 4), (4, 1), (16, 1))):
        rates = scenarios.by_pending(workers, slots)
        label = f"{workers} of {slots} slot{'s' if slots > 1 else ''}"
        axes[1].semilogx(scenarios.PENDING, rates, "o-", ms=3, color=colour, label=label)
    axes[1].set_ylabel("jobs a second, simulated")
    for axis in axes:
        axis.set_xlabel("files in pending/")
        axis.set_ylim(bottom=0)
        axis.legend(frameon=False, fontsize=8)
    save(figure, path)


def _nfs(path: Path) -> None:
    figure, (axis,) = _axes()
    for colour, workers in zip(_COLOURS, (1, 4, 16, 64)):
        rates = [scenarios.over_nfs(workers, trip) for trip in scenarios.TRIPS]
        label = f"{workers} worker{'s' if workers > 1 else ''}"
        milliseconds = [trip * 1e3 for trip in scenarios.TRIPS]
        axis.loglog(milliseconds, rates, "o-", ms=3, color=colour, label=label)
    axis.set_xticks(milliseconds, [f"{some:g}" for some in milliseconds], minor=False)
    axis.set_xticks([], minor=True)
    axis.set_xlabel("ms of a round trip")
    axis.set_ylabel("jobs a second")
    axis.legend(frameon=False, fontsize=8)
    save(figure, path)


_PLOTS = {
    "workers": _workers,
    "waits": _waits,
    "backlog": _backlog,
    "directory": _directory,
    "nfs": _nfs,
}
