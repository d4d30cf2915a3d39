"""Every command in README.md and docs/ is run as it is written, and says what is written there.

`blocks` reads the pages, `terminal` types into a real shell on a real terminal, `compare` knows
what differs from run to run, `page` runs one page from top to bottom.

    python -m pytest tests/documentation
    python -m tests.documentation docs/tutorial.md     # shows what is typed and what comes
    python -m tests.documentation --write docs/*.md    # puts what came into the page

A comment right before a block tells what the block alone does not:

    <!-- not run: REASON -->        it is not run here
    <!-- second terminal -->        it is typed in another terminal, and may go on there
    <!-- file: NAME -->             it is the content of this file
    <!-- exits: N -->               it ends with this exit code
    <!-- needs: PROGRAM... -->      it is left out where one of these, or a module, is not there
    <!-- crontab -->                each of its lines is run as cron runs it
"""
