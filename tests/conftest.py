"""Fixtures for every test: real parts, and test data that lives beside the repository."""

from pathlib import Path

import pytest

CORPORA = Path(__file__).resolve().parents[2] / "shared" / "corpora"


@pytest.fixture(scope="session")
def corpora() -> Path:
    """The folder of payloads and test vectors; read where it lies, never copied."""
    if not CORPORA.is_dir():
        pytest.skip("the test vectors (../shared/corpora beside the repository) are absent")
    return CORPORA
