"""The fault loop: every file operation of every operation of the spool fails, or is the last."""
