"""Commands that tell that they live, and whether two attempts of one job ever lived at once.

Each attempt appends a line when it begins, one every 20 ms while it lives, and one when it ends.
The file is opened to append, so the order of its lines is the order of what happened.
"""

from pathlib import Path

# A shell's `sleep` is a process of its own, so a beat costs a few milliseconds.
_BEATS = """
job=$SPOOLQ_JOB_ID attempt=$SPOOLQ_ATTEMPT n=0
echo "begin $job $attempt" >> "$0"
while [ $n -lt "$1" ]; do sleep 0.02; echo "beat $job $attempt" >> "$0"; n=$((n + 1)); done
echo "end $job $attempt" >> "$0"
"""


def command(path, beats):
    """Return a command that lives for so many beats."""
    return ["sh", "-c", _BEATS, str(path), str(beats)]


def hidden(path, beats):
    """Return one that hides it in a session of its own, which only the cookie gives away."""
    return ["sh", "-c", 'setsid -w sh -c "$@"', "sh", _BEATS, str(path), str(beats)]


def lines(path):
    """Return what was written: word, job, attempt."""
    text = Path(path).read_text(encoding="ascii") if Path(path).exists() else ""
    return [(word, job, int(attempt)) for word, job, attempt in map(str.split, text.splitlines())]


def doubles(path):
    """Return the attempts that lived on when a later one of their job had begun, or began twice."""
    latest, wrong = {}, set()
    for word, job, attempt in lines(path):
        last = latest.get(job, 0)
        if attempt < last or (word == "begin" and attempt == last):
            wrong.add((job, attempt))
        latest[job] = max(attempt, last)
    return sorted(wrong)


def ended(path):
    """Return how often each job came to its end."""
    count = {}
    for word, job, _ in lines(path):
        count[job] = count.get(job, 0) + (word == "end")
    return count
