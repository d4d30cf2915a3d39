"""`python -m spoolq` is the same program as `spoolq`."""

try:
    from spoolq.cli.main import main
except KeyboardInterrupt:  # before there is anything that could say so
    raise SystemExit(130) from None

if __name__ == "__main__":
    main()
