"""What stands against a vouch: who may not, not yet, not so often, not for whom. Reads only."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from fedidoc.clock import DAY, Clock, iso
from fedidoc.config import EvidenceRules
from fedidoc.model import Account, Right, Role, Standing
from fedidoc.storage import actors, people, vouches
from fedidoc.storage.engine import Reader
from fedidoc.storage.vouches import VouchRow
from fedidoc.verification.evidence import Assurance

_ASKING: Final = (Standing.NEW, Standing.APPLIED, Standing.REFUSED)
_YEAR: Final = 365 * DAY
_MOST_LINKS: Final = 5  # of a chain of vouches that is looked along for a circle


class Hindrances:
    """The rules for vouchers, as questions."""

    def __init__(self, clock: Clock, rules: EvidenceRules, trusts: Callable[[str], bool]) -> None:
        """`trusts` says whether members of another server may ask."""
        self._clock = clock
        self._rules = rules
        self._trusts = trusts

    async def of_member(self, reader: Reader, row: VouchRow, account: Account) -> str:
        """Why a member cannot vouch in answer to a request now; empty if they can."""
        now, rules = self._clock.now(), self._rules
        voucher = await people.account(reader, account.id)
        if voucher is None or not voucher.may(Right.VOUCH):
            return "Your level on this instance does not vouch for others."
        since = await vouches.verified_since(reader, voucher.id)
        ripe = None if since is None else since + rules.vouch_cooling_days * DAY
        if ripe is None or ripe > now:
            when = f" on {iso(ripe)[:10]}" if ripe is not None else ""
            return f"You were verified not long ago; you may vouch for others later{when}."
        if await self.vouched_much(reader, voucher.actor_id):
            return (
                f"You vouched for {rules.vouches_a_year} colleagues within a year, which is as many"
                " as one may."
            )
        if row.uri is None:
            hindrance = await self.needless(reader, row)
        else:
            hindrance = await self._too_far(reader, row, voucher)
        if hindrance:
            return hindrance
        if await self.in_circle(reader, voucher.actor_id, row.applicant_id):
            return "They vouched for you, or for somebody who did; that would be a circle."
        return ""

    async def needless(self, reader: Reader, row: VouchRow) -> str:
        """Why a member here needs no vouch; empty if they do."""
        applicant = await people.account_by_actor(reader, row.applicant_id)
        return "" if applicant and may_ask(applicant) else "They need no vouch any more."

    async def _too_far(self, reader: Reader, row: VouchRow, voucher: Account) -> str:
        """Why the member's word would not count on the applicant's server; empty if it would."""
        found = await actors.get_many(reader, [row.applicant_id, voucher.actor_id])
        applicant, me = found.get(row.applicant_id), found.get(voucher.actor_id)
        if applicant is None or me is None or not self._trusts(applicant.host):
            return "Their server is not trusted here any more."
        if me.badge.assurance == Assurance.VOUCHED:
            return (
                "You were verified on the word of others alone, which other servers cannot look"
                " into; they would not count yours."
            )
        if applicant.badge.verified:
            return "They need no vouch any more."
        return ""

    async def vouched_much(self, reader: Reader, voucher_id: str) -> bool:
        """Whether somebody vouched for as many colleagues within a year as one may."""
        since = self._clock.now() - _YEAR
        return await vouches.answered_since(reader, voucher_id, since) >= self._rules.vouches_a_year

    async def in_circle(self, reader: Reader, voucher_id: str, applicant_id: str) -> bool:
        """Whether what the voucher is rests, a few steps back, on the applicant's word of less
        than a year ago, as far as that is known here."""
        since = self._clock.now() - _YEAR
        seen: set[str] = set()
        behind: Iterable[str] = [voucher_id]
        for _ in range(_MOST_LINKS):
            found = await vouches.vouchers_of(reader, list(behind), since)
            if applicant_id in found:
                return True
            behind = list(found - seen)[:1000]
            seen |= found
            if not behind:
                break
        return False


def may_ask(account: Account) -> bool:
    """Whether a member is one who asks for vouches."""
    return account.standing in _ASKING and account.role is not Role.STAFF
