"""Work for vouches between servers: finding whom an applicant named, and counting what came.

Colleagues are looked for in the background, so that an applicant learns nothing of who is where by
how long it takes or by what is answered.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from fedidoc.clock import HOUR, Clock
from fedidoc.errors import BadInput, NotFound, PeerTrouble
from fedidoc.federation.badges import is_open
from fedidoc.federation.remote import Remote
from fedidoc.federation.tasks import Tasks
from fedidoc.verification.far_vouches import FarVouches
from fedidoc.verification.vouches import COUNT, FIND

_AGAIN: Final = 6 * HOUR


class Asking:
    """The tasks `vouch`, one for each colleague elsewhere who was named, and `vouches`, when the
    word of one came or went."""

    def __init__(self, clock: Clock, remote: Remote, far: FarVouches) -> None:
        self._clock = clock
        self._remote = remote
        self._far = far

    def register(self, tasks: Tasks) -> None:
        tasks.add(FIND, self.find)
        tasks.add(COUNT, self.count)

    async def find(self, vouch_id: str, detail: Mapping[str, Any]) -> int | None:
        """Look for the colleague until their server answers or the request is over."""
        wanted = await self._far.wanted(vouch_id)
        if wanted is None:
            return None
        try:
            colleague = await self._remote.find(f"@{wanted}")
        except PeerTrouble:
            return self._clock.now() + _AGAIN
        except (BadInput, NotFound):
            return None
        if is_open(colleague.badge):
            return self._clock.now() + _AGAIN
        await self._far.ask(vouch_id, colleague)
        return None

    async def count(self, applicant_id: str, detail: Mapping[str, Any]) -> None:
        await self._far.count(applicant_id)
