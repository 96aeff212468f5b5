"""Whole instances to attack: those of the tests of pages, and those of the federation."""

from tests.federation.conftest import network, pair
from tests.web.conftest import house, site

__all__ = ["house", "network", "pair", "site"]
