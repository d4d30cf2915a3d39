"""First in the PYTHONPATH of a worker that takes every filesystem for btrfs, and syncs all of it.

Its scribe is the real one, a thread.
"""

from spoolq import platform

platform.is_btrfs = lambda descriptor: True
