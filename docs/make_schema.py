"""Writes docs/job.schema.json from the table of fields: python docs/make_schema.py

A test fails while the file differs from the code.
"""

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from spoolq import fields  # noqa: E402

FILE = Path(__file__).resolve().parent / "job.schema.json"


def text():
    """Return what the file is to hold."""
    return json.dumps(fields.schema(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    FILE.write_text(text(), encoding="utf-8")
