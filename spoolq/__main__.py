"""`python -m spoolq` is the same program as `spoolq`."""

from spoolq.cli.main import main

if __name__ == "__main__":
    main()
