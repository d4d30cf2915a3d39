"""Drops jobs for ever: ``dropper.py SPOOL NOTES PREFIX HOW COMMAND``.

HOW says where a file is written before it is renamed to pending/: in the spool's tmp/, hidden in
pending/, or outside the spool; or that it is written in its place, without a rename: that is wrong.
Each name is noted when its file is there. It is written slowly, so that a kill may tear it.
"""

import json
import os
import sys
import time


def main() -> None:
    """Drop until killed."""
    spool, notes, prefix, how, command = sys.argv[1:]
    number = 0
    with open(notes, "a", encoding="ascii", buffering=1) as told:
        while True:
            number += 1
            name = f"{prefix}-{number}"
            place = os.path.join(spool, "pending", name + ".json")
            made = {
                "tmp": os.path.join(spool, "tmp", name),
                "hidden": os.path.join(spool, "pending", "." + name),
                "outside": notes + ".made",
                "in place": place,
            }[how]
            text = json.dumps({"command": command, "name": name, "tags": ["a" * 60] * 8})
            with open(made, "w", encoding="ascii", buffering=1) as file:
                for start in range(0, len(text), 40):
                    file.write(text[start : start + 40])
                    file.flush()
                    time.sleep(0.0003)
            if made != place:
                os.rename(made, place)
            told.write(name + "\n")


if __name__ == "__main__":
    main()
