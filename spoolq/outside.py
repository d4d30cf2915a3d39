"""Files outside a spool, for other programs to read: written in one step.

What reads them sees the old file or the new one, never half of one.
"""

from __future__ import annotations

import os

from spoolq.fsio import Dir


def replace_file(path: str, data: bytes, mode: int) -> None:
    """Write a file anew; after an error the old one is as it was.

    A link in its place is replaced, not followed. A crash may leave litter beside it, whose name
    begins with a dot and ends in ".new".
    """
    above, name = os.path.split(os.path.abspath(path))
    directory = Dir.open(above, mode)
    try:
        temporary = f".{name}.{os.urandom(4).hex()}.new"
        directory.write(temporary, data, sync=True)
        try:
            directory.rename(temporary, directory, name)
        except BaseException:
            directory.tidy(temporary)
            raise
    finally:
        directory.close()
