"""What the architecture promises of the source itself."""

import ast
import re

import pytest

from tests.conftest import REPOSITORY
from tests.faults.loop.operations import OPERATIONS

SOURCES = sorted((REPOSITORY / "spoolq").rglob("*.py"))
TESTS = sorted((REPOSITORY / "tests").rglob("*.py"))
LONGEST = 400

TAG = re.compile(r"\b(RACE|CRASH): ")
DEFINED = re.compile(r"^\s*def (test_\w+)\(", re.MULTILINE)


def name_of(path):
    return str(path.relative_to(REPOSITORY))


def tree(path):
    return ast.parse(path.read_text(encoding="utf-8"))


def tags(text):
    """Yield line number and text of every RACE and CRASH comment, to the end of its paragraph."""
    lines = text.splitlines()
    for index, line in enumerate(lines):
        if not TAG.search(line):
            continue
        in_comment = line.lstrip().startswith("#")
        paragraph = [line]
        for later in lines[index + 1 :]:
            plain = later.strip()
            if in_comment != plain.startswith("#") or plain in ("", "#", '"""'):
                break
            paragraph.append(later)
        yield index + 1, " ".join(paragraph)


def calls(path, module):
    """Yield line number and name of every use of a name of this module."""
    for node in ast.walk(tree(path)):
        if (
            isinstance(node, ast.Attribute)
            and isinstance(node.value, ast.Name)
            and node.value.id == module
        ):
            yield node.lineno, node.attr
        elif isinstance(node, ast.ImportFrom) and node.module == module:
            for alias in node.names:
                yield node.lineno, alias.name


def test_there_is_something_to_check():
    assert len(SOURCES) > 25
    assert sum(1 for path in SOURCES for _ in tags(path.read_text(encoding="utf-8"))) > 5


def test_every_window_names_a_test_that_exists():
    known = {name for path in TESTS for name in DEFINED.findall(path.read_text(encoding="utf-8"))}
    missing = []
    for path in SOURCES:
        for line, text in tags(path.read_text(encoding="utf-8")):
            named = re.findall(r"\btest_\w+", text)
            if not named:
                missing.append(f"{name_of(path)}:{line} names no test")
            missing += [
                f"{name_of(path)}:{line} names {test}, which there is not"
                for test in named
                if test not in known
            ]
    assert missing == []


def test_a_tag_without_a_test_is_noticed():
    comment = "    # RACE: two of them\n    # (test_one, test_two).\n    x = test_three\n"
    docstring = (
        '    """Say so.\n\n    CRASH: in between\n    (test_four).\n\n    test_five\n    """\n'
    )
    found = [re.findall(r"\btest_\w+", text) for _, text in tags(comment + docstring)]
    assert found == [["test_one", "test_two"], ["test_four"]]
    assert [re.findall(r"\btest_\w+", text) for _, text in tags("# CRASH: alone\n")] == [[]]


def crash_table():
    """Yield what is killed after, and what shows it, of every row of the crash table."""
    text = (REPOSITORY / "docs" / "reliability.md").read_text(encoding="utf-8")
    section = text.split("\n## Crash table\n")[1].split("\n## ")[0]
    rows = [line.strip("| ").split(" | ") for line in section.splitlines() if line[:1] == "|"]
    for row in rows[2:]:
        yield row[0], row[-1]


def test_every_row_of_the_crash_table_names_a_test_that_exists():
    known = {name for path in TESTS for name in DEFINED.findall(path.read_text(encoding="utf-8"))}
    operations = {operation.name for operation in OPERATIONS}
    rows = list(crash_table())
    missing = []
    for step, shown_by in rows:
        tests = re.findall(r"`(test_\w+)`", shown_by)
        looped = re.findall(r"\[([^]]+)\]", shown_by)
        if not tests and not looped:
            missing.append(f"{step}: names nothing")
        missing += [f"{step}: {name}" for name in tests if name not in known]
        missing += [f"{step}: [{name}]" for name in looped if name not in operations]
    assert missing == []
    assert len(rows) > 20


def test_every_operation_of_the_fault_loop_is_in_the_crash_table():
    looped = {
        name for _, shown_by in crash_table() for name in re.findall(r"\[([^]]+)\]", shown_by)
    }
    assert {operation.name for operation in OPERATIONS} - looped == set()


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_a_file_has_at_most_four_hundred_lines(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= LONGEST


#: What is the process of a run: its streams are the run's log, its environment the run's own.
OF_A_RUN = {REPOSITORY / "spoolq" / name for name in ("call.py", "executors/zygote.py")}


def test_only_the_command_line_prints():
    guilty = []
    for path in SOURCES:
        if (REPOSITORY / "spoolq" / "cli") in path.parents:
            continue
        guilty += [
            f"{name_of(path)}:{node.lineno}"
            for node in ast.walk(tree(path))
            if isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id in ("print", "input")
        ]
        guilty += [
            f"{name_of(path)}:{line} sys.{attribute}"
            for line, attribute in calls(path, "sys")
            if attribute == "stdout" and path not in OF_A_RUN
        ]
    assert guilty == []


MOVING = {"rename", "renames", "replace", "link", "symlink", "unlink", "remove", "removedirs"}
SYNCING = {"fsync", "fdatasync", "sync"}
CLI = REPOSITORY / "spoolq" / "cli"
OF_THE_USER = {  # what they make is in the temporary directory
    *(CLI / "demo.py", CLI / "editor.py"),
    *(REPOSITORY / "spoolq" / "conformance").glob("*.py"),
}


def test_only_fsio_moves_removes_and_syncs():
    seam = {REPOSITORY / "spoolq" / "fsio.py", REPOSITORY / "spoolq" / "platform.py"}
    guilty = []
    for path in SOURCES:
        if path in seam:
            continue
        guilty += [
            f"{name_of(path)}:{line} os.{attribute}"
            for line, attribute in calls(path, "os")
            if attribute in MOVING | SYNCING | {"truncate", "ftruncate"}
        ]
        if path in OF_THE_USER:
            continue
        for module in ("shutil", "pathlib", "tempfile"):
            guilty += [f"{name_of(path)}:{line} {module}" for line, _ in calls(path, module)]
    assert guilty == []


def test_platform_moves_only_where_fsio_asks_it_to():
    used = {name for _, name in calls(REPOSITORY / "spoolq" / "platform.py", "os")}
    assert used & (MOVING | SYNCING) == {"rename"}


def test_only_config_and_platform_read_the_environment():
    readers = {
        path.name
        for path in SOURCES
        if path not in OF_A_RUN
        and {name for _, name in calls(path, "os")} & {"environ", "environb", "getenv"}
    }
    assert readers <= {"config.py", "platform.py"}


def test_only_logs_configures_logging():
    configuring = {"basicConfig", "StreamHandler", "FileHandler", "Formatter"}
    guilty = {
        path.name for path in SOURCES if {name for _, name in calls(path, "logging")} & configuring
    }
    assert guilty == {"logs.py"}


def test_nothing_executes_text_or_reads_a_pickle():
    guilty = []
    for path in SOURCES:
        for node in ast.walk(tree(path)):
            if getattr(getattr(node, "func", None), "id", "") in ("eval", "exec"):
                guilty.append(f"{name_of(path)}:{node.lineno} {node.func.id}")
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                modules = [alias.name for alias in node.names] + [getattr(node, "module", None)]
                if {"pickle", "marshal", "yaml", "shelve"} & set(modules):
                    guilty.append(f"{name_of(path)}:{node.lineno} {modules}")
    assert guilty == []


def _public(node, inside=""):
    """Yield every public class and function of a tree, by its dotted name."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            if not child.name.startswith("_"):
                yield inside + child.name, child
                if isinstance(child, ast.ClassDef):
                    yield from _public(child, f"{inside}{child.name}.")
        elif isinstance(child, (ast.If, ast.Try)):
            yield from _public(child, inside)


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_modules_and_what_is_public_in_them_have_docstrings(path):
    parsed = tree(path)
    assert ast.get_docstring(parsed) or path.name == "__main__.py"
    assert [name for name, node in _public(parsed) if not ast.get_docstring(node)] == []


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_a_docstring_begins_with_one_sentence(path):
    wrong = []
    for name, node in _public(tree(path)):
        first = (ast.get_docstring(node) or ".").split("\n\n")[0]
        if not first.rstrip().endswith((".", ":", "?")):
            wrong.append(name)
    assert wrong == []
