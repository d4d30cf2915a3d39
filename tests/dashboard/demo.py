"""A spool as it looks after some hours of work, for pictures and measurements: made, not run."""

import json
import os
import random
import shutil
from datetime import datetime, timedelta, timezone

from spoolq import instants, names

COMMANDS = (
    ("thumbnails", "convert {n}.png -resize 320 thumbs/{n}.png", ("images",), 1.5),
    ("report", "make report DAY=2026-11-{d:02}", ("nightly",), 40.0),
    ("mail", "sendmail -t < outbox/{n}.eml", ("mail",), 0.3),
    ("transcode", "ffmpeg -i in/{n}.mkv -c:v libx264 out/{n}.mp4", ("video",), 200.0),
    ("backup", "./backup.sh /srv/{n}", ("nightly", "backup"), 90.0),
)
ERRORS = (
    ({"exit_code": 1}, "exit code 1"),
    ({"exit_code": 127}, "not found"),
    ({"error": "timeout"}, "timeout"),
    ({"signal": 9}, "killed"),
)


def chromium():
    """Return the path of a Chromium of this system, or None."""
    known = ("/usr/bin/chromium", "chromium", "chromium-browser", "google-chrome")
    return next(filter(None, map(shutil.which, known)), None)


def fill(path, count, *, now=None, seed=7, hours=20.0, dead_share=0.04, waiting=0.01):
    """Write `count` jobs into the spool at `path`: most have ended, a few wait."""
    chance = random.Random(seed)
    now = now or datetime.now(timezone.utc)
    rate = hours * 3600 / max(count, 1)
    free = [now - timedelta(hours=hours)] * 4
    for index in range(count):
        job_id = "".join(chance.choice(names._BASE32.decode()) for _ in range(13))
        what, command, tags, typical = COMMANDS[chance.randrange(len(COMMANDS))]
        fields = {
            "command": command.format(n=1000 + index, d=1 + index % 28),
            "name": what,
            "tags": list(tags),
        }
        if chance.random() < waiting:
            at = now + timedelta(seconds=chance.uniform(-60, 7200))
            _write(
                path, "pending", names.Name(_stamp(at), chance.choice((5, 5, 9)), 0, job_id), fields
            )
            continue
        slot = min(range(4), key=lambda slot: free[slot])
        started = max(free[slot], now - timedelta(hours=hours) + timedelta(seconds=rate * index))
        took = min(chance.lognormvariate(0, 0.8) * typical, rate * 3.5)
        ended = min(
            started + timedelta(seconds=took), now - timedelta(seconds=chance.uniform(1, 20))
        )
        free[slot] = ended
        fields["created_at"] = instants.to_rfc3339(
            started - timedelta(seconds=chance.lognormvariate(0.5, 1.5))
        )
        bad = chance.random() < dead_share
        outcome = dict(chance.choice(ERRORS)[0]) if bad else {"exit_code": 0}
        attempts = 4 if bad else 1
        fields["history"] = [
            {
                "attempt": attempts,
                "worker": f"web1-{4121 + slot // 2}-x7f3k{slot // 2}",
                "started_at": instants.to_rfc3339(started),
                "finished_at": instants.to_rfc3339(ended),
                **outcome,
            }
        ]
        state = "dead" if bad else "completed"
        _write(path, state, names.Name(_stamp(ended), 5, attempts, job_id), fields)


def _stamp(at):
    return instants.to_stamp(at)


def _write(path, state, name, fields):
    with open(os.path.join(path, state, str(name)), "w", encoding="utf-8") as file:
        json.dump(fields, file, indent=1)
