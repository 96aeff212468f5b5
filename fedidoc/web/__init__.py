"""The web floor: pages for people, and the protocol's door below them."""
