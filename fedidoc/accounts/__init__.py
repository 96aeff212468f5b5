"""Accounts: signing up, passwords, sessions, tokens, and what an operator does with members."""

from fedidoc.accounts.members import Accounts, Session, SessionLine, SignedIn

__all__ = ["Accounts", "Session", "SessionLine", "SignedIn"]
