"""A network of instances for each test, on the database that this run is for."""

import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.federation.network import Network
from tests.federation.pair import Pair, make_pair


@pytest.fixture
async def network(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Network]:
    """`await network.instance("hospital")`; everything ends with the test."""
    if (os.environ.get("FEDIDOC_TEST_DATABASE") or "sqlite").startswith("sqlite"):
        template: Path = request.getfixturevalue("sqlite_template")

        def fresh(name: str) -> str:
            shutil.copy(template, tmp_path / f"{name}.db")
            return f"sqlite:///{tmp_path / name}.db"
    else:
        server = request.getfixturevalue("postgres_server")

        def fresh(name: str) -> str:
            database = server.fresh_database()
            request.addfinalizer(lambda: server.drop_database(database))
            url: str = server.url(database)
            return url

    made = Network(tmp_path, fresh)
    yield made
    await made.close()


@pytest.fixture
async def pair(network: Network) -> Pair:
    """Two instances that know each other, with a member each."""
    return await make_pair(network)
