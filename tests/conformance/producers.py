"""The producers of docs/producers/, and spoolq's own `enqueue`: how each is called."""

import os
import shutil
import subprocess
import sys
from typing import List, Optional

from tests.conftest import REPOSITORY

PLACE = REPOSITORY / "docs" / "producers"
#: The program that runs each file; C is compiled first.
PROGRAMS = {
    "submit.sh": "sh",
    "submit.pl": "perl",
    "submit.js": "node",
    "submit.php": "php",
    "submit.c": "cc",
    "submit.py": sys.executable,
}


def unable(name: str) -> Optional[str]:
    """Say why a producer cannot be run here, or None."""
    if shutil.which(PROGRAMS[name]) is None:
        return f"{PROGRAMS[name]} is not installed"
    if name == "submit.sh" and _syncs_files() is None:
        return "sync here takes no files"
    if name == "submit.php" and "no" in _printed(
        "php", "-r", "echo function_exists('fsync') ?: 'no';"
    ):
        return "fsync() came with PHP 8.1"
    if name == "submit.pl" and _printed("perl", "-MJSON::PP", "-e", "print 1") != "1":
        return "Perl is here without its modules"
    return None


def words(name: str, built: str) -> List[str]:
    """Return how a producer is called; what has to be built is put into the directory `built`."""
    path = str(PLACE / name)
    if name == "submit.c":
        program = os.path.join(built, "submit")
        subprocess.run(
            ["cc", "-std=gnu11", "-Wall", "-Wextra", "-Werror", "-O2", "-o", program, path],
            check=True,
        )
        return [program]
    alone = ["-I", "-S"] if name == "submit.py" else []  # nothing but the standard library
    return [PROGRAMS[name], *alone, path]


def _syncs_files() -> Optional[str]:
    return shutil.which("sync") if "FILE" in _printed("sync", "--help") else None


def _printed(*command: str) -> str:
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return done.stdout
