"""How Sphinx builds these pages; `sphinx-build -W docs docs/_build` from the checkout."""

import spoolq

project = "spoolq"
author = "The spoolq authors"
release = version = spoolq.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_click",
]
exclude_patterns = ["_build"]
myst_heading_anchors = 3
default_role = "code"
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"

html_theme = "furo"
html_title = f"spoolq {release}"


def keep_drawings(app, what, name, obj, options, lines):
    """Show what is indented in a module's docstring as it was drawn."""
    if what != "module":
        return
    for index in range(len(lines) - 1, 0, -1):
        if lines[index].startswith("  ") and not lines[index - 1].strip():
            lines[index:index] = ["::", ""]


def keep_stars(app, ctx, lines):
    """Show the stars of a cron line and of a pattern as they are typed; no help has emphasis."""
    lines[:] = [line.replace("*", r"\*") for line in lines]


def tell_spool_once(app, ctx, lines):
    """Leave out --spool, which every verb takes, except at the top."""
    if ctx.parent is None:
        return
    starts = [index for index, line in enumerate(lines) if line.startswith(".. option::")]
    for start, end in reversed(list(zip(starts, [*starts[1:], len(lines)]))):
        if "--spool" in lines[start]:
            del lines[start:end]


def drop_arguments(app, ctx, lines):
    """Leave out the list of arguments: the usage line shows them, the text says what they are."""
    lines.clear()


def setup(app):
    app.connect("autodoc-process-docstring", keep_drawings)
    app.connect("sphinx-click-process-description", keep_stars)
    app.connect("sphinx-click-process-options", tell_spool_once)
    app.connect("sphinx-click-process-arguments", drop_arguments)
