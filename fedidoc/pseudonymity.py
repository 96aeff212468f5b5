"""The wiring of pseudonyms: the clinical rooms of everybody, with a clock that knows the day alone.

A room whose rows a pseudonym may write has to be built here, or its times would say when.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from contextlib import AsyncExitStack

from fedidoc.accounts.activation import Activation
from fedidoc.accounts.enrolment import Enrolment
from fedidoc.accounts.officers import check_configuration
from fedidoc.accounts.openings import Openings
from fedidoc.accounts.passwords import Passwords
from fedidoc.accounts.pseudonyms import Pseudonyms
from fedidoc.clinical.blocks import Blocks
from fedidoc.clinical.cases import Cases
from fedidoc.clinical.drafts import Drafts
from fedidoc.clinical.follows import Follows
from fedidoc.clinical.media import Pictures
from fedidoc.clinical.reports import Reports
from fedidoc.clock import MINUTE, Clock, DayClock
from fedidoc.config import Config
from fedidoc.federation.urls import Urls
from fedidoc.storage.engine import Database
from fedidoc.vault import Vault
from fedidoc.verification.credentials import Credentials
from fedidoc.web.services import PseudonymRooms

# How much later than at once a pseudonym's posts leave at the most, if its owner wants that.
_JITTER = 30 * MINUTE
# From a month's first day to the end of the following January.
_LONGEST_DAYS = 397


def daily_batch(
    config: Config, db: Database, clock: Clock, vault: Vault, urls: Urls, pictures: Pictures
) -> Activation:
    """What opens pseudonyms once a day, and settles what they did."""
    months = DayClock(clock, months=True)
    credentials = Credentials(db, months, vault, urls, valid_days=_LONGEST_DAYS)
    return Activation(db, clock, vault, config, urls, credentials, settle_files=pictures.settle)


def open_pseudonyms(
    config: Config, db: Database, clock: Clock, vault: Vault, urls: Urls,
    credentials: Credentials, wake: Callable[[str], None], stack: AsyncExitStack,
) -> PseudonymRooms | None:  # fmt: skip
    """Their rooms, None where there are none. ConfigError if the settings do not fit together."""
    check_configuration(config)
    if not config.pseudonyms.threshold:
        return None
    passwords = Passwords()
    stack.callback(passwords.close)
    days = DayClock(clock)
    media = Pictures(db, days, config.media_folder, config.media.max_bytes)

    def later() -> int:
        return clock.now() + secrets.randbelow(_JITTER)

    return PseudonymRooms(
        enrolment=Enrolment(db, clock, vault, config, passwords),
        accounts=Pseudonyms(db, clock, vault, config, passwords=passwords),
        openings=Openings(db, clock, config, credentials),
        cases=Cases(db=db, clock=days, urls=urls, media=media, wake=wake),
        delayed=Cases(db=db, clock=days, urls=urls, media=media, wake=wake, due=later),
        drafts=Drafts(db, days, vault),
        media=media,
        follows=Follows(db, days, urls, wake),
        blocks=Blocks(db, days, urls, wake),
        reports=Reports(db, days, vault, urls, wake),
    )
