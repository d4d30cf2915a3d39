"""The spool's protocol as a model that is explored whole: see README.md beside this file."""
