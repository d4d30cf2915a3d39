"""The alert rules of the documentation, on what a spool in trouble really tells."""

import re
import shutil
import subprocess

import pytest

from spoolq import instants, metrics
from spoolq.census import Census
from tests import given
from tests.conftest import REPOSITORY

yaml = pytest.importorskip("yaml")
parser = pytest.importorskip("prometheus_client.parser")

RULES = REPOSITORY / "docs" / "alerts.yml"
PROMTOOL = pytest.mark.skipif(shutil.which("promtool") is None, reason="there is no promtool here")


def rules():
    (group,) = yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]
    return group["rules"]


def samples(spool, now):
    """What is told of a spool at an instant, as Prometheus has it of one machine."""
    text = metrics.exposition(Census(spool), now=now).decode("utf-8")
    for family in parser.text_string_to_metric_families(text):
        for sample in family.samples:
            labels = {"instance": "a", **sample.labels}
            yield sample.name, labels, sample.value


def test_every_rule_names_metrics_that_there_are_and_says_what_to_do(spool, clock):
    given.job(spool, "pending", given.named(clock, "later", wait=60))
    known = {name for name, *_ in samples(spool, clock())} | {"spoolq"}
    assert len(rules()) > 5
    for rule in rules():
        assert set(re.findall(r"\bspoolq[a-z_]*", rule["expr"])) <= known, rule["alert"]
        assert rule["annotations"].keys() == {"summary", "description"}
        assert rule["labels"]["severity"] in ("info", "warning", "critical")


def firing(spool, now, tmp_path):
    """Return the alerts that promtool says fire when the spool has been like this for two hours."""
    series = [
        {
            "series": name + "{" + ",".join(f'{k}="{v}"' for k, v in labels.items()) + "}",
            "values": f"{value}x120",
        }
        for name, labels, value in samples(spool, now)
    ]
    expression = 'count by (alertname) (ALERTS{alertstate="firing"})'
    test = {
        "rule_files": [str(RULES)],
        "evaluation_interval": "1m",
        "tests": [
            {
                "interval": "1m",
                "input_series": series,
                "promql_expr_test": [
                    # What is never there, so that promtool tells what is instead.
                    {
                        "expr": expression,
                        "eval_time": "2h",
                        "exp_samples": [{"labels": "x", "value": 9}],
                    }
                ],
            }
        ],
    }
    path = tmp_path / "test.yml"
    path.write_text(yaml.safe_dump(test), encoding="utf-8")
    done = subprocess.run(["promtool", "test", "rules", str(path)], capture_output=True, text=True)
    told = (done.stdout + done.stderr).split("got:")
    assert len(told) == 2, told
    return set(re.findall(r'alertname="(\w+)"', told[1]))


@PROMTOOL
def test_promtool_reads_the_rules():
    done = subprocess.run(
        ["promtool", "check", "rules", str(RULES)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(rules())} rules found" in done.stdout


@PROMTOOL
def test_a_spool_at_rest_and_one_that_works_alert_nobody(spool, clock, tmp_path):
    assert firing(spool, clock(), tmp_path) == set()
    own = given.worker(spool)
    given.job(spool, "pending", given.named(clock, "due"))
    given.job(spool, "completed", given.named(clock, "done"))
    assert firing(spool, clock(), tmp_path) == set()
    own.leave()


@PROMTOOL
def test_jobs_that_nobody_runs_alert(spool, clock, tmp_path):
    given.job(spool, "pending", given.named(clock, "due", wait=-700))
    assert firing(spool, clock(), tmp_path) == {"SpoolqNoWorker", "SpoolqJobsWaitTooLong"}


@PROMTOOL
def test_a_paused_spool_alerts_of_that_and_not_of_what_waits(spool, clock, tmp_path):
    own = given.worker(spool)
    given.job(spool, "pending", given.named(clock, "due", wait=-700))
    given.write(spool, ".", "paused", "")
    assert firing(spool, clock(), tmp_path) == {"SpoolqPausedForLong"}
    own.leave()


@PROMTOOL
def test_runs_that_fail_or_wait_or_last_and_a_full_disk_alert(spool, clock, tmp_path):
    own = given.worker(spool)
    own.show_trouble("outcomes", "No space left on device")
    given.claim(spool, own, given.job(spool, "pending", given.named(clock, "a")), clock)
    clock.advance(86_401)
    entry = {
        "attempt": 1,
        "worker": "w-1-x",
        "started_at": instants.to_rfc3339(clock()),
        "finished_at": instants.to_rfc3339(clock()),
        "exit_code": 1,
    }
    for number in range(20):
        name = given.named(clock, f"j{number}", attempt=1)
        created_at = instants.to_rfc3339(instants.later(clock(), -1000))
        given.job(spool, "dead", name, created_at=created_at, history=[entry])
    assert firing(spool, clock(), tmp_path) == {
        "SpoolqWorkerInTrouble",
        "SpoolqRunTakesLong",
        "SpoolqJobsDied",
        "SpoolqRunsFail",
        "SpoolqWaitsAreLong",
    }
    own.leave()
