"""Modules that take a safeguard out of a Dask worker, which imports them first (--preload).

With one of them a check has to fail that holds otherwise: so it is shown that it can.
"""
