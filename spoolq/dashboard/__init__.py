"""A spool in a browser: Flask on waitress, for the user who started it.

    serve.py      the socket, the limits, and how it ends
    guard.py      who may ask, and what every answer says to the browser; before any routing
    app.py        the routes: pages and logs
    actions.py    the four things that may be done
    look.py       the spool as the pages see it, one look for all threads
    reading.py    job files for the pages, within bounds of size and time
    overview.py   the whole spool at a glance
    lists.py      jobs by state: search, sort, pages
    story.py      one job: what it is, its runs, what they printed
    charts.py     numbers into the geometry of charts
    words.py      amounts and commands in the words of the pages

Needs the extra `dashboard`; nothing of it is imported unless the dashboard is started.
"""
