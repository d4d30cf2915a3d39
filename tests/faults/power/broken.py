"""A worse spoolq for the guest: `broken.py RULE ARGS` runs the command line with one sync left out.

These are the negative controls: a campaign that cannot tell them from spoolq proves nothing.
"""

import sys

from spoolq import dependencies, fsio, platform, spool
from spoolq.cli.main import main


def _file():
    """Leave out the sync of a new job's data, alone or shared."""
    fsio.sync_data = lambda descriptor: None
    platform.sync_filesystem = lambda descriptor: True


def _directory():
    """Leave out the sync of the directory that a name came into."""
    fsio.Dir.sync = lambda self: None


def _record():
    """Leave out the sync of an outcome's data before it is renamed over the claim."""
    spool.sync_files = lambda files: None


def _whole():
    """Sync outcomes and directories by themselves on btrfs too."""
    platform.is_btrfs = lambda descriptor: False


def _whole_before():
    """Sync outcomes by themselves on btrfs, and all of it only after the move."""
    honest = fsio.Dir.sync_all_of_btrfs

    def only_after(self):
        if "/workers/" not in self.path:
            return honest(self)
        return False

    fsio.Dir.sync_all_of_btrfs = only_after


def _waits():
    """Leave out the sync of what a new job waits for."""
    honest = dependencies.begin
    dependencies.begin = lambda place, waits, durability: honest(place, waits, "none")


RULES = {
    "no-file-sync": _file,
    "no-directory-sync": _directory,
    "no-record-sync": _record,
    "no-waits-sync": _waits,
    "no-whole-sync": _whole,
    "no-whole-sync-before": _whole_before,
}

if __name__ == "__main__":
    RULES[sys.argv.pop(1)]()
    sys.exit(main())
