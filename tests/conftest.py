"""Fixtures for every test: real parts, and test data that lives beside the repository."""

import os
import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from fedidoc.storage.engine import Database
from fedidoc.storage.migrate import migrate
from tests.postgres import PostgresServer, RunningServer, find_binaries, run_apart

# How long a busy machine takes to think of an example says nothing of the code.
settings.register_profile("house", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("house")

CORPORA = Path(__file__).resolve().parents[2] / "shared" / "corpora"


@pytest.fixture(scope="session")
def corpora() -> Path:
    """The folder of payloads and test vectors; read where it lies, never copied."""
    if not CORPORA.is_dir():
        pytest.skip("the test vectors (../shared/corpora beside the repository) are absent")
    return CORPORA


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


def _asked_for() -> str:
    """FEDIDOC_TEST_DATABASE: `sqlite`, `postgresql`, or the URL of a PostgreSQL that is up."""
    return os.environ.get("FEDIDOC_TEST_DATABASE") or "sqlite"


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[RunningServer]:
    """A real PostgreSQL for this test session, with a migrated template database."""
    server: RunningServer
    if "://" in _asked_for():
        server = RunningServer(_asked_for())
    else:
        binaries = find_binaries()
        if binaries is None:
            pytest.skip("PostgreSQL's server programs (initdb, postgres) are not installed")
        server = PostgresServer(binaries)
    try:
        if isinstance(server, PostgresServer):
            server.start()
        server.make_template(lambda url: run_apart(_migrate_at(url)))
        yield server
    finally:
        server.remove()


def _fresh_url(request: pytest.FixtureRequest, dialect: str) -> str:
    if dialect == "sqlite":
        template: Path = request.getfixturevalue("sqlite_template")
        path = request.getfixturevalue("tmp_path") / "fedidoc.db"
        shutil.copy(template, path)
        return f"sqlite:///{path}"
    server: RunningServer = request.getfixturevalue("postgres_server")
    name = server.fresh_database()
    request.addfinalizer(lambda: server.drop_database(name))
    return server.url(name)


@pytest.fixture
def database_url(request: pytest.FixtureRequest) -> str:
    """The URL of a fresh, migrated database of this run's kind: FEDIDOC_TEST_DATABASE."""
    dialect = _asked_for().partition(":")[0]
    if dialect not in ("sqlite", "postgresql"):
        pytest.fail("FEDIDOC_TEST_DATABASE must be sqlite, postgresql or postgresql://…")
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


@pytest.fixture
async def sqlite_database(request: pytest.FixtureRequest) -> AsyncIterator[Database]:
    """A fresh, migrated SQLite database, for what concerns SQLite alone."""
    db = await Database.open(_fresh_url(request, "sqlite"))
    yield db
    await db.close()


@pytest.fixture
async def postgresql_database(request: pytest.FixtureRequest) -> AsyncIterator[Database]:
    """A fresh, migrated PostgreSQL database, for what concerns PostgreSQL alone."""
    db = await Database.open(_fresh_url(request, "postgresql"))
    yield db
    await db.close()
