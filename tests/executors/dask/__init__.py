"""Dask, always as processes of its own: a real scheduler and real workers."""
