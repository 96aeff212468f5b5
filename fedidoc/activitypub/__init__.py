"""The protocol: ActivityPub over signed HTTP, readable without knowing medicine.

Imports nothing else of fedidoc; clients, keys and the time are arguments.
"""
