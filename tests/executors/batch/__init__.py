"""Batch systems: the parts by themselves, and all of it on a Slurm that a test starts."""
