"""The documents say what is there: settings, modules, commands, files and links."""

from __future__ import annotations

import os
import re
import shlex
import tomllib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from fedidoc import config
from fedidoc.cli import fedidoc as command_line
from fedidoc.verification.national import read_rules

ROOT = Path(__file__).resolve().parents[1]
HOUSE = ROOT / "fedidoc"
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")


def page_name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


# The house --------------------------------------------------------------------------------------


def drawn() -> list[tuple[str, str]]:
    """(path, words) of each line of the drawing in docs/developer.md."""
    text = (ROOT / "docs" / "developer.md").read_text()
    return re.findall(r"^ {0,4}([a-z_]+(?:/[a-z_]+)*(?:\.py|/)) {2,}(\S.*)$", text, re.MULTILINE)


def test_every_module_has_one_line_in_the_drawing_and_the_other_way_round() -> None:
    modules = {
        path.relative_to(HOUSE).as_posix()
        for path in HOUSE.rglob("*.py")
        if path.name != "__init__.py"
    }
    packages = {
        path.parent.relative_to(HOUSE).as_posix() + "/"
        for path in HOUSE.rglob("__init__.py")
        if path.parent != HOUSE
    }
    count = Counter(path for path, _ in drawn())
    assert {path: n for path, n in count.items() if n > 1} == {}
    assert modules | packages == count.keys()


def test_the_lines_say_something() -> None:
    for path, words in drawn():
        assert len(words) >= 15, path


# Settings ---------------------------------------------------------------------------------------


def test_settings_that_pages_name_exist() -> None:
    settings = config.keys()
    known = {(section, key) for section, key, _ in settings}
    sections = {section for section, _ in known}
    for page in PAGES:
        for section, keys in re.findall(r"\[([a-z_]+)\] ([a-z_]+(?: = )?)", page.read_text()):
            if section in sections:
                assert (section, keys.removesuffix(" = ")) in known, (page, section, keys)


@pytest.mark.parametrize("name", ["operator.md", "registers.md"])
def test_samples_of_settings_are_valid(tmp_path: Path, name: str) -> None:
    text = (ROOT / "docs" / name).read_text()
    blocks = re.findall(r"((?:^ {4}(?:\[[a-z_.]+\]|[\"\w -]+ = .*)\n)+)", text, re.MULTILINE)
    assert blocks
    for block in blocks:
        raw = tomllib.loads(re.sub(r"^ {4}", "", block, flags=re.MULTILINE))
        raw.setdefault("instance", {})["domain"] = "st-olaf.example"
        read_rules(config.parse(raw, {}, tmp_path).registers)


# Commands ---------------------------------------------------------------------------------------


def written_commands(text: str) -> Iterator[str]:
    """Command lines in code spans and in indented or fenced blocks."""
    text = re.sub(r"\\\n\s*", " ", text)
    for line in re.findall(r"`(fedidoc [^`\n]+)`", text):
        yield line
    for line in re.findall(r"^(?: {4}|\$ )(?:sudo (?:-u \w+ )?)?(fedidoc [^\n]+)$", text, re.M):
        yield line
    for line in re.findall(r"(?:&&|ExecStart=\S*/) ?(fedidoc [^\n]+)$", text, re.M):
        yield line


def check_command(line: str) -> None:
    """Fails if a word of the line is no command, or an option is none of that command's."""
    words = shlex.split(line.replace("…", ""))[1:]
    command: click.Command = command_line
    context = click.Context(command)
    path: list[str] = []
    place = 0
    while place < len(words):
        word = words[place]
        options = {name: p for p in command.params for name in (*p.opts, *p.secondary_opts)}
        if word.startswith("--"):
            assert word in options, f"{word} is no option of {' '.join(path) or 'fedidoc'}: {line}"
            option = options[word]
            takes = isinstance(option, click.Option) and not option.is_flag
            place += 2 if takes else 1
            continue
        if isinstance(command, click.Group):
            found = command.get_command(context, word)
            assert found is not None, f"there is no command {' '.join([*path, word])}: {line}"
            command = found
            path.append(word)
        place += 1


@pytest.mark.parametrize(
    "line",
    [
        "fedidoc sing",
        "fedidoc peer alow DOMAIN",
        "fedidoc serve --no-wroker",
        "fedidoc --port 1 serve",
        "fedidoc case open NAME --tittle T",
    ],
)
def test_a_command_that_is_not_there_would_be_noticed(line: str) -> None:
    with pytest.raises(AssertionError):
        check_command(line)


FILES = [*PAGES, ROOT / "docs" / "fedidoc.service", ROOT / "config.example.toml"]


@pytest.mark.parametrize("page", FILES, ids=page_name)
def test_commands_on_the_page_exist(page: Path) -> None:
    for line in written_commands(page.read_text()):
        check_command(line)


def test_the_operators_table_has_every_command() -> None:
    text = (ROOT / "docs" / "operator.md").read_text()
    table = text[text.index("## Commands") :]
    missing = [name for name in leaves(command_line, "fedidoc") if f"`{name}" not in table]
    assert missing == []


def leaves(command: click.Command, name: str) -> Iterator[str]:
    if isinstance(command, click.Group):
        context = click.Context(command)
        for sub in command.list_commands(context):
            found = command.get_command(context, sub)
            assert found is not None
            yield from leaves(found, f"{name} {sub}")
    else:
        yield name


def test_every_command_explains_itself() -> None:
    for name in leaves(command_line, "fedidoc"):
        command: click.Command | None = command_line
        for word in name.split()[1:]:
            assert isinstance(command, click.Group)
            command = command.get_command(click.Context(command), word)
        assert command is not None
        assert len(command.help or "") > 10, name
        names = {option for parameter in command.params for option in parameter.opts}
        assert {"--config", "--json"} <= names, name


# Files and links --------------------------------------------------------------------------------


def test_scripts_that_pages_name_can_be_run() -> None:
    named: set[str] = set()
    for page in PAGES:
        named |= set(re.findall(r"\bscripts/[a-z]+", page.read_text()))
    assert {"scripts/demo", "scripts/test"} <= named
    for script in named | {".ci/run"}:
        assert os.access(ROOT / script, os.X_OK), script


def links(page: Path) -> list[str]:
    """Targets of links and pictures; what stands in code is none."""
    return LINK.findall(re.sub(r"`[^`\n]+`", "", page.read_text()))


def anchors(page: Path) -> set[str]:
    text = page.read_text()
    found = set(re.findall(r'<a id="([^"]+)">', text))
    for heading in re.findall(r"^#+ (.+)$", text, re.MULTILINE):
        plain = re.sub(r"[^\w\- ]", "", heading.lower())
        found.add(plain.replace(" ", "-"))
    return found


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_links_between_pages_resolve(page: Path) -> None:
    for target in links(page):
        if re.match(r"[a-z]+:", target):
            assert target.startswith("https://"), target
            continue
        name, _, anchor = target.partition("#")
        file = (page.parent / name).resolve() if name else page
        assert file.exists(), f"{page_name(page)} links to {target}"
        if anchor:
            assert anchor in anchors(file), f"{page_name(page)} links to {target}"


def test_pages_hold_no_path_of_a_machine() -> None:
    for path in [*PAGES, *ROOT.glob("scripts/*"), ROOT / "config.example.toml"]:
        assert not re.search(r"/(?:work|root|home/\w+)/", path.read_text()), path


def test_every_dependency_has_its_reason() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    record = (ROOT / "docs" / "decisions" / "0001-libraries.md").read_text()
    for requirement in project["dependencies"]:
        name = re.split(r"[<>=\[]", requirement)[0]
        assert f"| `{name}` |" in record, name
