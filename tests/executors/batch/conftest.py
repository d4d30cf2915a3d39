"""A Slurm for the tests that need one, and what they all do with it."""

import importlib.util

import pytest

from tests.executors.batch import cluster

NO_PSIJ = importlib.util.find_spec("psij") is None


@pytest.fixture(scope="session")
def psij():
    """Skip where PSI/J is not installed."""
    if NO_PSIJ:
        pytest.skip("PSI/J is not installed: pip install 'spoolq[psij]'")


@pytest.fixture(scope="module")
def slurm(psij, tmp_path_factory):
    """A Slurm of one node, for all tests of a module; two jobs run at once."""
    reason = cluster.why_not()
    if reason:
        pytest.skip(f"no Slurm can be started: {reason}")
    slurm = cluster.Slurm(tmp_path_factory.mktemp("slurm"), share=1)
    try:
        yield slurm.start()
    finally:
        slurm.stop()
