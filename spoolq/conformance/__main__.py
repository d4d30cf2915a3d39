"""`python -m spoolq.conformance`: its command line is with all others, in `cli`."""

from spoolq.cli.conformance import run

if __name__ == "__main__":
    run()
