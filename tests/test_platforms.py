"""The page that says what becomes of other platforms' payloads is what the code does today."""

from __future__ import annotations

import importlib.util
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def script() -> ModuleType:
    loader = SourceFileLoader("platforms_script", str(ROOT / "scripts" / "platforms"))
    spec = importlib.util.spec_from_loader("platforms_script", loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


def test_the_page_is_up_to_date(script: ModuleType, corpora: Path) -> None:
    made: str = script.table(corpora)
    assert made == (ROOT / "docs" / "platforms.md").read_text(encoding="utf-8"), (
        "run scripts/platforms FOLDER --write"
    )
    for platform in ("mastodon", "lemmy", "Pleroma", "peertube", "mobilizon", "mbin", "friendica"):
        assert f"## {platform}\n" in made
    judged = [line.split(" | ") for line in made.splitlines() if line.count(" | ") == 4]
    silent = [row for row in judged if row[2] in ("`refuse`", "`ignore`") and row[3] == "–"]
    assert len(judged) > 200 and silent == []


def test_it_asks_for_its_folder(script: ModuleType, tmp_path: Path) -> None:
    assert script.main([]) == script.main([str(tmp_path)]) == 2
