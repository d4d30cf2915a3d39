"""`python -m tests.documentation [--write] PAGE...`: show how pages go, or let them say it."""

import sys
from pathlib import Path
from typing import List

from tests.conftest import REPOSITORY
from tests.documentation import blocks
from tests.documentation.compare import Bindings
from tests.documentation.page import Reader, Went, left, place


def main(arguments: List[str]) -> int:
    """Run each page; return 1 where one does not go as it says."""
    faults = 0
    for path in [Path(word).resolve() for word in arguments if not word.startswith("-")]:
        text = path.read_text(encoding="utf-8")
        name = str(path.relative_to(REPOSITORY))
        went: List[Went] = []
        with place() as made:
            reader = Reader(made)
            for block in blocks.read(name, text)[0]:
                if not block.is_run:
                    continue
                for each in reader.block(block):
                    each = each._replace(printed=reader.bindings.told(each.printed))
                    faults += bool(each.fault)
                    print(f"{name}:{each.typed.line}  {each.fault or 'as it says'}")
                    print(f"$ {each.typed.command}{each.printed if each.fault else ''}".rstrip())
                    if block.language == "console":
                        went.append(each)
            reader.close()
            for died in left(made):
                faults += 1
                print(f"{name}  died: {died}")
        if "--write" in arguments:
            path.write_text(written(text, went), encoding="utf-8")
    return min(faults, 1)


def written(text: str, went: List[Went]) -> str:
    """Return a page with what its commands printed, where that differs by more than it must."""
    lines = text.split("\n")
    for each in reversed(went):
        if any(line.strip() == "…" for line in each.typed.expected):
            continue
        if Bindings().fault("", each.typed.expected, each.printed) is None:
            continue
        start = each.typed.line + each.typed.command.count("\n")
        lines[start : start + len(each.typed.expected)] = each.printed.strip("\n").splitlines()
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
