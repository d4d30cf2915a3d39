"""The pictures of the docs are as they are drawn, can be read by all, and say what they show."""

import importlib.util
import json
import re
import shutil
import sys
from xml.etree import ElementTree

import pytest

from tests.conftest import REPOSITORY

DOCS = REPOSITORY / "docs"
PICTURES = sorted((DOCS / "pictures").glob("*.svg"))
PAGES = [
    REPOSITORY / "README.md",
    *(page for page in DOCS.rglob("*.md") if "_build" not in str(page)),
]
MOST = 200_000  # bytes of a picture


def script(name):
    """Return a script of docs/ as a module."""
    spec = importlib.util.spec_from_file_location(name, DOCS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def cast():
    return script("make_cast")


def images():
    """Yield each picture that a page shows: the page, its words, its path."""
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for words, path in re.findall(r"!\[([^]]*)\]\(([^)]+)\)", text):
            yield page, words, path
        for path, words in re.findall(r"```\{figure\} (\S+)\n:alt: (.*)\n", text):
            yield page, words, path


def test_the_drawn_pictures_are_those_that_are_drawn_now():
    drawn = script("make_pictures").DRAWN
    assert set(drawn) == {"life-cycle.svg", "crash-table.svg"}
    for name, draw in drawn.items():
        now = (DOCS / "pictures" / name).read_text(encoding="utf-8")
        assert draw() == now, "run: python docs/make_pictures.py"


def test_every_picture_is_there_and_has_words_for_who_does_not_see_it():
    shown = list(images())
    assert len({path.rsplit("/", 1)[-1] for _, _, path in shown}) >= len(PICTURES)
    for page, words, path in shown:
        assert (page.parent / path).is_file(), f"{page}: {path}"
        assert len(words) > 10, f"{page}: {path}"


@pytest.mark.parametrize("path", PICTURES, ids=lambda path: path.name)
def test_a_picture_is_small_has_a_title_and_nothing_from_elsewhere(path):
    text = path.read_text(encoding="utf-8")
    assert len(text) < MOST
    root = ElementTree.fromstring(text)
    assert root.get("role") == "img" and root.get("aria-label")
    assert [child.tag.split("}")[1] for child in root][0] == "title"
    tags = {element.tag.split("}")[1] for element in root.iter()}
    assert not tags & {"script", "image", "foreignObject", "a", "use"}
    assert re.findall(r"https?://(?!www\.w3\.org/2000/svg)|url\((?!#)|@import|on\w+=", text) == []


@pytest.mark.parametrize("name", ["life-cycle.svg", "crash-table.svg"])
def test_a_drawn_picture_can_be_read_on_dark_and_on_light_pages(name):
    text = (DOCS / "pictures" / name).read_text(encoding="utf-8")
    light, dark = text.split("prefers-color-scheme: dark")
    for colors in (light, dark.split("</style>")[0]):
        found = dict(re.findall(r"--(\w+): (#\w{6})", colors))
        for ink in ("ink", "faint"):
            assert contrast(found[ink], found["page"]) > 4.5
            assert contrast(found[ink], found["box"]) > 4.5


def contrast(one, other):
    """Return how far two colours are apart. Source: WCAG 2.1, contrast ratio."""

    def luminance(color):
        parts = [int(color[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def events(text):
    """Return the header and the events of a cast."""
    header, *lines = [json.loads(line) for line in text.splitlines()]
    return header, lines


def test_the_cast_is_one_and_types_what_the_readme_says(cast):
    header, lines = events((DOCS / "pictures" / "session.cast").read_text(encoding="utf-8"))
    assert (header["version"], header["width"] > 60, header["height"] > 20) == (2, True, True)
    times = [at for at, _, _ in lines]
    assert times == sorted(times) and times[-1] < 60
    assert {kind for _, kind, _ in lines} == {"o"}
    shown = re.sub(r"\x1b\[[0-9;]*m", "", "".join(data for _, _, data in lines))
    typed = [line[2:] for line in shown.split("\r\n") if line.startswith("$ ") and line != "$ "]
    # The ids are others in every run.
    own = re.compile(r"\b(logs|retry) \w+")
    told = [own.sub(r"\1 ID", command) for command in cast.commands()]
    assert [own.sub(r"\1 ID", command) for command in typed] == told, (
        "run: python docs/make_cast.py"
    )


@pytest.mark.skipif(
    not sys.platform.startswith("linux") or not shutil.which("bash"), reason="wants Linux and bash"
)
def test_the_session_can_be_recorded_anew_and_goes_as_it_should(cast):
    recorded = cast.record(cast.commands())
    header, lines = events(cast.cast(recorded))
    shown = "".join(data for _, _, data in lines)
    for fact in (
        "made a spool at",
        "completed: exit 0",
        "dead: exit 1",
        "No such file",
        "runs again",
    ):
        assert fact in shown, f"{fact}: {shown}"
    assert shown.count("all is well") == 2  # typed, and printed by the job
    assert "Error" not in shown


def test_the_animated_picture_shows_what_the_cast_does(cast):
    pytest.importorskip("pyte", reason="pyte, of the docs extra, is not here")
    _, lines = events((DOCS / "pictures" / "session.cast").read_text(encoding="utf-8"))
    drawn = cast.svg([(at, data) for at, _, data in lines])
    assert drawn == (DOCS / "pictures" / "session.svg").read_text(encoding="utf-8")
