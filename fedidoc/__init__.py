"""fedidoc: a self-hostable, federated ActivityPub server for verified physicians."""

__version__ = "0.1.0"
