"""The house stands as it is drawn: floors, and the values that only one room may make."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from fedidoc import log

ROOT = Path(__file__).resolve().parents[1]
HOUSE = ROOT / "fedidoc"
MODULES = sorted(HOUSE.rglob("*.py"))


def name_of(path: Path) -> str:
    return path.relative_to(HOUSE).as_posix()


def calls(tree: ast.AST) -> Iterator[str]:
    """The last part of every called name: `phi.clear(x)` is `clear`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            match node.func:
                case ast.Name(id=name) | ast.Attribute(attr=name):
                    yield name


def rooms_that_call(name: str) -> set[str]:
    return {
        name_of(path)
        for path in MODULES
        if name in calls(ast.parse(path.read_text(encoding="utf-8")))
    }


def test_the_floors_hold() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "from importlinter.cli import lint_imports_command as c; c()"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 broken" in done.stdout


@pytest.mark.parametrize(
    ("value", "makers"),
    [
        # Text that has passed the guard, from the guard or from a row that was stored cleared.
        ("ClearedText", {"clinical/phi.py", "storage/cases.py"}),
        # A sender that was verified.
        ("VerifiedActivity", {"activitypub/receive.py"}),
        ("VerifiedReader", {"activitypub/receive.py"}),
    ],
)
def test_only_one_room_makes_a_value_that_others_trust(value: str, makers: set[str]) -> None:
    made = rooms_that_call(value)
    assert made <= makers
    assert made, f"nobody makes {value}: this test looks for the wrong name"


def test_nobody_goes_round_a_constructor() -> None:
    """`replace(cleared, text=…)` or `object.__new__` would make a trusted value from another."""
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute) and node.attr in {"__new__", "__setattr__"}:
                # A frozen value may set its own fields while it is being made.
                assert name_of(path) in {"activitypub/receive.py", "model.py"}, (path, node.lineno)


def test_only_the_inbox_stores_an_activity_for_work() -> None:
    assert rooms_that_call("put_inbox") == {"federation/inbox.py"}


def test_only_two_rooms_open_a_database() -> None:
    """Everybody else is given one."""
    opened = {
        name_of(path)
        for path in MODULES
        if re.search(r"\bDatabase\.open\(", path.read_text(encoding="utf-8"))
    }
    assert opened <= {"app.py", "storage/engine.py", "storage/health.py"}


def test_nothing_is_printed_but_by_commands() -> None:
    assert rooms_that_call("print") == set()
    assert {room for room in rooms_that_call("echo") if not room.startswith("cli/")} == set()


def fixed_words(node: ast.AST, names: set[str]) -> bool:
    """Whether an expression can only be words that stand in the code."""
    match node:
        case ast.Constant(value=str()):
            return True
        case ast.IfExp(body=body, orelse=orelse):
            return fixed_words(body, names) and fixed_words(orelse, names)
        case ast.Name(id=name):
            return name in names
    return False


def test_logs_say_listed_fields_and_fixed_events() -> None:
    """What `fedidoc.log` would refuse when the line is written is found before it is written."""
    listed = log._FIELDS
    assert {"host", "reason"} <= listed
    assert not listed & {"body", "text", "email", "password", "header", "headers", "name", "token"}
    seen = 0
    for path in MODULES:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        names = {
            target.id
            for node in ast.walk(tree)
            if isinstance(node, ast.Assign) and fixed_words(node.value, set())
            for target in node.targets
            if isinstance(target, ast.Name)
        }
        for node in ast.walk(tree):
            match node:
                case ast.Call(
                    func=ast.Attribute(
                        value=ast.Name(id="log") | ast.Attribute(attr="log" | "_log"),
                        attr="debug" | "info" | "warning" | "error",
                    ),
                    keywords=keywords,
                    args=args,
                ):
                    seen += 1
                    given = {keyword.arg for keyword in keywords}
                    assert given <= listed, (path, node.lineno, given - listed)
                    assert [fixed_words(arg, names) for arg in args] == [True], (path, node.lineno)
    assert seen > 10


def test_no_module_is_a_drawer_of_odds_and_ends() -> None:
    for path in MODULES:
        assert path.stem not in {"utils", "util", "helpers", "helper", "manager", "common", "misc"}


def test_modules_stay_readable() -> None:
    """About 400 lines at most."""
    long = {name_of(p): n for p in MODULES if (n := len(p.read_text().splitlines())) > 480}
    assert long == {}


def test_no_error_is_swallowed() -> None:
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ExceptHandler):
                broad = node.type is None or (
                    isinstance(node.type, ast.Name)
                    and node.type.id in {"Exception", "BaseException"}
                )
                empty = all(isinstance(statement, ast.Pass) for statement in node.body)
                assert not (broad and empty), (path, node.lineno)


def test_the_package_contains_what_it_reads() -> None:
    """Files that modules read at run time are in the wheel."""
    patterns = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"][
        "package-data"
    ]["fedidoc"]
    packed = {path for pattern in patterns for path in HOUSE.glob(pattern)}
    data = {
        path
        for path in HOUSE.rglob("*")
        if path.is_file() and path.suffix not in {".py", ".pyc", ".pyi"}
    }
    assert data <= packed, data - packed
