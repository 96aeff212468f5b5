"""What a pseudonymous author may do, and who reads it. Pure; nothing here knows whose it is.

A pseudonym speaks to verified colleagues and to nobody else, follows nobody (whom one follows tells
who one is), and passes nothing on.
"""

from __future__ import annotations

from fedidoc.errors import BadInput, Forbidden
from fedidoc.model import Account, Audience


def may_open(account: Account, audience: Audience) -> None:
    """BadInput (field `audience`) for a case that would leave the verified network."""
    if account.pseudonymous and audience is not Audience.VERIFIED:
        raise BadInput("A pseudonym writes for verified physicians only.", field="audience")


def audience_of(account: Account, audience: Audience) -> Audience:
    """Who reads an answer to something for `audience`: never more than the verified network."""
    if account.pseudonymous and audience is Audience.PUBLIC:
        return Audience.VERIFIED
    return audience


def may_follow(account: Account) -> None:
    """Forbidden for a pseudonym."""
    if account.pseudonymous:
        raise Forbidden("A pseudonym follows nobody: whom you follow would tell who you are.")


def may_pass_on(account: Account) -> None:
    """Forbidden for a pseudonym."""
    if account.pseudonymous:
        raise Forbidden("A pseudonym passes nothing on; answer the case instead.")
