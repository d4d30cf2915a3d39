"""The picture in the docs is what the view draws."""

import html
import re
import runpy

from tests.conftest import REPOSITORY

FILE = REPOSITORY / "docs" / "pictures" / "watch.svg"


def words(svg):
    """Return what is written in a picture; how it is drawn differs between releases of rich."""
    return [html.unescape(text).split() for text in re.findall(r"<text[^>]*>([^<]*)</text>", svg)]


def test_the_picture_in_the_docs_is_what_the_view_draws():
    made = runpy.run_path(str(REPOSITORY / "docs" / "make_watch_picture.py"))["text"]()
    assert words(FILE.read_text(encoding="utf-8")) == words(made), (
        "run: python docs/make_watch_picture.py"
    )
    assert ["RUNNING"] in words(made)


def test_the_picture_fetches_nothing_from_elsewhere():
    text = FILE.read_text(encoding="utf-8")
    assert not re.search(r"url\(\s*[\"']?http|href|@import|<script|<image", text)
