"""The clinic: see `clinic.py`."""

from pathlib import Path

import pytest

from fedidoc.storage import keys
from fedidoc.storage.engine import Database
from fedidoc.storage.keys import FreshKeys
from tests.clinical.clinic import Clinic


@pytest.fixture(scope="session")
def fresh_keys() -> FreshKeys:
    return keys.generate_keys()


@pytest.fixture
def clinic(database: Database, tmp_path: Path, fresh_keys: FreshKeys) -> Clinic:
    return Clinic(database, tmp_path / "media", fresh_keys)
