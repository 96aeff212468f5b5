"""Fixtures for every test: real parts, and test data that lives beside the repository."""

import asyncio
import os
import shutil
from collections.abc import AsyncIterator, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from fedidoc.storage.engine import Database
from fedidoc.storage.migrate import migrate
from tests.postgres import PostgresServer, find_binaries

CORPORA = Path(__file__).resolve().parents[2] / "shared" / "corpora"


@pytest.fixture(scope="session")
def corpora() -> Path:
    """The folder of payloads and test vectors; read where it lies, never copied."""
    if not CORPORA.is_dir():
        pytest.skip("the test vectors (../shared/corpora beside the repository) are absent")
    return CORPORA


def run_apart(work: Coroutine[Any, Any, None]) -> None:
    """Run a coroutine to its end in a thread of its own, apart from the tests' event loop."""
    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, work).result()


async def _migrate_at(url: str) -> None:
    db = await Database.open(url, readers=1)
    try:
        await migrate(db)
    finally:
        await db.close()


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite file to copy from."""
    path = tmp_path_factory.mktemp("sqlite") / "template.db"
    run_apart(_migrate_at(f"sqlite:///{path}"))
    return path


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    """A real PostgreSQL for this test session, with a migrated template database."""
    binaries = find_binaries()
    if binaries is None:
        pytest.skip("PostgreSQL's server programs are not installed (initdb, postgres)")
    server = PostgresServer(binaries)
    try:
        server.start()
        server.create_database("template_fedidoc")
        run_apart(_migrate_at(server.url("template_fedidoc")))
        yield server
    finally:
        server.remove()


def _fresh_url(request: pytest.FixtureRequest, dialect: str) -> str:
    if dialect == "sqlite":
        template: Path = request.getfixturevalue("sqlite_template")
        path = request.getfixturevalue("tmp_path") / "fedidoc.db"
        shutil.copy(template, path)
        return f"sqlite:///{path}"
    server: PostgresServer = request.getfixturevalue("postgres_server")
    return server.fresh_database("template_fedidoc")


@pytest.fixture
def database_url(request: pytest.FixtureRequest) -> str:
    """The URL of a fresh, migrated database of this run's kind: FEDIDOC_TEST_DATABASE."""
    dialect = os.environ.get("FEDIDOC_TEST_DATABASE", "sqlite")
    if dialect not in ("sqlite", "postgresql"):
        pytest.fail("FEDIDOC_TEST_DATABASE must be sqlite or postgresql")
    return _fresh_url(request, dialect)


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """A fresh, migrated database: SQLite, or PostgreSQL with FEDIDOC_TEST_DATABASE=postgresql."""
    db = await Database.open(database_url)
    yield db
    await db.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def any_database_url(request: pytest.FixtureRequest) -> str:
    """The URL of a fresh, migrated database, once on each kind."""
    return _fresh_url(request, request.param)


@pytest.fixture
async def any_database(any_database_url: str) -> AsyncIterator[Database]:
    """A fresh, migrated database, once on SQLite and once on PostgreSQL."""
    db = await Database.open(any_database_url)
    yield db
    await db.close()
