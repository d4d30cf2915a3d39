"""Hypothesis on a slow, shared machine: an example may take its time."""

from hypothesis import HealthCheck, settings

settings.register_profile(
    "spoolq",
    deadline=None,
    max_examples=50,
    suppress_health_check=[HealthCheck.too_slow],
    database=None,  # the checkout may belong to somebody else
)
settings.load_profile("spoolq")
