"""What is done with each kind of activity, one module for each family."""

from fedidoc.federation.handlers import actors, follows, moderation, posts, reactions, vouching
from fedidoc.federation.handlers.table import Batch, Clinic, Received, Table

__all__ = ["Batch", "Clinic", "Received", "Table", "accept_table"]


def accept_table() -> Table:
    """Every activity that has an effect here; all others are ignored."""
    table = Table()
    for family in (follows, posts, reactions, actors, moderation, vouching):
        family.register(table)
    return table
