"""What must not grow, however much goes through: a worker's memory, and what it says."""

from typing import List

#: KiB. A worker has 23 MB to begin with, 25 after a thousand files that are no jobs, and 55 once it
#: has run a job whose file is nearly as long as it may be; who keeps something of each passes that.
MEMORY = 100_000
LINES_OF_A_RUN = 4  # its start and its end; more where its worker is lost or is refused something


def memory(pid: int) -> int:
    """Return the most memory that a process has had so far, in KiB; 0 where it has ended."""
    try:
        with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as file:
            return next((int(line.split()[1]) for line in file if line.startswith("VmHWM")), 0)
    except (FileNotFoundError, ProcessLookupError):
        return 0


def greedy(peak: int) -> List[str]:
    """Say that so much memory is too much for a worker."""
    return [f"a worker took {peak} KiB of memory"] if peak > MEMORY else []


def wordy(said: str, runs: int, besides: int = 40) -> List[str]:
    """Say that workers said too much of so many runs.

    Args:
        besides: lines that they may say of other things.
    """
    lines = said.count("\n")
    allowed = LINES_OF_A_RUN * runs + besides
    return [f"{lines} log lines for {runs} runs"] if lines > allowed else []
