"""The table of features: spoolq beside what else could be used, every cell of it tried.

What is tried is text, so that it can be read, typed, and argued with:

- `features.yaml` has the rows, and says what each of them asks.
- `cells/TOOL.yaml` has a column: for each feature what is said (yes, partly, no), the lines
  that are typed into a shell, and what of their output shows it. A "no" is tried as well: the
  option is refused, it does not happen, or what the tool says of itself has no word of it.
- `results.json` is what came of it the last time; `docs/features.md` is made of that and `page.md`.

    python -m tests.comparison                          try all, print what does not hold
    python -m tests.comparison --tool spoolq            one column
    python -m tests.comparison --feature priority       one row
    python -m tests.comparison --write                  and make docs/features.md anew
    python -m tests.comparison --json                   what was typed and what came, as JSON

Tools that are not here are left out, and their last results stay; the `bench` extra brings those in
Python. The others are Debian's packages task-spooler, nq, parallel and redis-server.
"""
