"""Fewer examples: each plays a whole history of a spool."""

from hypothesis import settings

settings.register_profile("spoolq", settings.get_profile("unhurried"), max_examples=50)
settings.load_profile("spoolq")
