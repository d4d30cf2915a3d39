"""On what was measured: the machine, and which versions of all."""

import os
import platform
import shutil
import subprocess
from importlib import metadata
from typing import Any, Dict, List

from tests.conftest import REPOSITORY

LIBRARIES = ("huey", "rq", "celery", "redis", "click", "watchdog")
#: Programs and how each tells its version.
PROGRAMS = {
    "xargs": ["xargs", "--version"],
    "GNU parallel": ["parallel", "--version"],
    "tsp": ["tsp", "-V"],
    "nq": ["dpkg-query", "-W", "-f", "nq ${Version}", "nq"],
    "redis-server": ["redis-server", "--version"],
}


def first_line(*command: str) -> str:
    """Return the first line that a program prints, or nothing where it cannot."""
    if shutil.which(command[0]) is None:
        return ""
    done = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=REPOSITORY
    )
    return done.stdout.strip().partition("\n")[0] if done.returncode == 0 else ""


def _field(path: str, name: str) -> str:
    try:
        with open(path, encoding="utf-8") as file:
            for line in file:
                key, _, value = line.partition(":")
                if key.strip() == name:
                    return value.strip()
    except OSError:
        pass
    return ""


def look() -> Dict[str, Any]:
    """Return what is to be known of this machine."""
    versions: Dict[str, str] = {}
    for name in LIBRARIES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    for name, command in PROGRAMS.items():
        said = first_line(*command)
        if said:
            versions[name] = said
    return {
        "cpu": _field("/proc/cpuinfo", "model name") or platform.processor(),
        "cores": os.cpu_count(),
        "memory_gb": round(int(_field("/proc/meminfo", "MemTotal").split()[0]) * 1024 / 1e9, 1),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "versions": versions,
    }


def commit() -> str:
    """Return which spoolq was measured, `+` if with changes, or nothing where git is not there."""
    name = first_line("git", "rev-parse", "--short=12", "HEAD")
    changed: List[str] = ["git", "status", "--porcelain", "--untracked-files=no", "spoolq"]
    return name + "+" if name and first_line(*changed) else name
