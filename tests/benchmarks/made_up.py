"""A document of figures that nobody measured, to try the page and the targets with."""


def contender(kind, a_second, **more):
    return {
        "kind": kind,
        "keeps": "the jobs that wait",
        "synced": False,
        "jobs": 100,
        "a_second": a_second,
        "after_first_a_second": a_second * 1.1,
        "first_s": 0.2,
        "ended_s": 3.0,
        "to_xargs": a_second / 1000,
        "miscounted": [],
        **more,
    }


def entry(figures, **more):
    return {
        "filesystem": "ext4",
        "measured_at": "2026-11-24T02:06:46Z",
        "commit": "0123456789ab",
        "quick": False,
        "rounds": 5,
        **more,
        "figures": figures,
    }


def points(*xs, **columns):
    return [{"x": x, **columns} for x in xs]


COST = {"cpu_us": 400.0, "wall_us": 1200.0}
CASE = {"pending": 0, "completed": 0, "later": 0, "a_second": 700.0, "first_s": 0.5}
FIGURES = {
    "drain": {
        "jobs": 100,
        "contenders": {
            "xargs -P2": contender("runner", 1000.0),
            "spoolq, full": contender("ours", 700.0, synced=True),
            "spoolq, none": contender("ours", 950.0),
            "fast|queue": contender("queue", 500.0),
            "safe queue": contender("queue", 200.0, synced=True),
            "losing queue": contender("queue", 900.0, miscounted=["99 runs of 100 jobs"]),
        },
        "two_workers_to_one": {"full": 0.95, "none": 0.85},
        "left_out": {
            "other queue": "not installed: other",
            "second queue": "not asked for",
            "first queue": "not asked for",
        },
    },
    "calls": {
        "contenders": {
            "spoolq, full": {
                "calls": 4000,
                "keeps": "all",
                "a_second": 1000.0,
                "to": {"rq worker-pool -n 2 (its default)": 12.5},
                "miscounted": [],
            },
            "rq worker-pool -n 2 (its default)": {
                "calls": 500,
                "keeps": "some",
                "a_second": None,
                "to": {"rq worker-pool -n 2 (its default)": None},
                "miscounted": ["499 runs of 500 jobs"],
            },
        },
        "left_out": {"rq worker-pool -n 2 (SimpleWorker)": "not installed: rq"},
    },
    "enqueue": {
        "jobs": 10_000,
        "enqueue_many_a_second": 12_000.0,
        "enqueue_lines_a_second": 7_000.0,
        "bare_bulk_a_second": 20_000.0,
        "one_ms": 1.2,
        "bare_one_ms": 1.0,
        "one_to_bare": 1.2,
        "dropped_files": 100,
        "dropped_paused": {"worker_us_a_file": 30.0},
        "dropped_running": {"worker_us_a_file": 500.0},
    },
    "latency": {
        "stream_every_ms": 5.0,
        **{
            name: {"samples": 9, "p50_ms": 2.0, "p95_ms": 9.0, "p99_ms": 16.0, "worst_ms": 20.0}
            for name in ("idle", "busy", "stream")
        },
    },
    "backlog": {
        "jobs": 2000,
        "cases": {
            "nothing else": {**CASE, "pending": 2000, "peak_mb": 40.0, "to_plain": 1.0},
            "less": {**CASE, "pending": 100_000, "peak_mb": 60.0, "to_plain": 0.9},
            "most": {**CASE, "pending": 1_000_000, "peak_mb": 200.0, "to_plain": 0.8},
        },
    },
    "idle": {
        "seconds": 60,
        "completed": 100_000,
        "later": 10_000,
        "cpu_percent": 0.05,
        "rss_mb": 36.0,
        "peak_mb": 50.0,
    },
    "cold": {
        "enqueue_ms": 200.0,
        "import_click_ms": 100.0,
        "to_import_click": 2.0,
        "sizes": [
            {"jobs": 1_000_000, "status_s": 1.0, "list_s": 2.5, "show_s": 1.5},
            {"jobs": 100_000, "status_s": 9.0, "list_s": 0.3, "show_s": 0.2},
        ],
    },
    "recovery": {
        "times": 20,
        "again_s": 0.6,
        "worst_s": 1.1,
        "orphans": {"count": 64, "pending": 100_000, "all_again_s": 2.2},
    },
    "growth": {
        "backlog": points(1000, 1_000_000, **COST),
        "slots": points(1, 64, cpu_percent=2.0, rss_mb=40.0),
        "workers": points(1, 8, a_second=700.0),
        "job_bytes": points(100, 1_000_000, **COST),
        "output_bytes": points(0, 1024, 1_000_000, **COST),
    },
    "limit": {
        "xargs_us": 440.0,
        "curve": [
            {"x": 0, "us": 360.0, "to_xargs": 1.2},
            {"x": 200, "us": 540.0, "to_xargs": 0.8},
            {"x": 400, "us": 700.0, "to_xargs": 0.6},
        ],
        "may_cost_us": {"0.80": 200.0, "0.65": 350.0},
        "calls_us": 160.0,
        "spoolq_us": {"none": 400.0, "full": 500.0},
    },
    "micro": {
        "start_of_a_process_us": {"ours": 200.0, "Popen": 300.0},
        "sync_of_10_files_ms": {"together": 2.0, "one by one": 9.0},
    },
}
DOCUMENT = {
    "version": 1,
    "machine": {
        "cpu": "a processor",
        "cores": 2,
        "memory_gb": 8.0,
        "kernel": "6.1",
        "python": "3.11.7",
        "versions": {"huey": "3.0"},
    },
    "parts": {part: {"ext4": entry(figures)} for part, figures in FIGURES.items()},
}
