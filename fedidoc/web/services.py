"""The rooms that pages work with, bound to their database and made by `open_app`."""

from __future__ import annotations

from dataclasses import dataclass, replace

from fedidoc.accounts import Accounts
from fedidoc.accounts.enrolment import Enrolment
from fedidoc.accounts.openings import Openings
from fedidoc.accounts.passes import Passes
from fedidoc.accounts.pseudonyms import Pseudonyms
from fedidoc.accounts.sign_in import SignIn
from fedidoc.clinical.blocks import Blocks
from fedidoc.clinical.cases import Cases
from fedidoc.clinical.drafts import Drafts
from fedidoc.clinical.follows import Follows
from fedidoc.clinical.media import Pictures
from fedidoc.clinical.moves import Moves
from fedidoc.clinical.notifications import Notifications
from fedidoc.clinical.profiles import Profiles
from fedidoc.clinical.reports import Reports
from fedidoc.clock import Clock
from fedidoc.config import Config
from fedidoc.federation.remote import Remote
from fedidoc.verification.audit import Audit
from fedidoc.verification.documents import Documents
from fedidoc.verification.dossiers import Dossiers
from fedidoc.verification.exclusions import Exclusions
from fedidoc.verification.lifetimes import Lifetimes
from fedidoc.verification.mailbox import Mailboxes
from fedidoc.verification.policy import Policy
from fedidoc.verification.publishing import Publishing
from fedidoc.verification.recheck import Recheck
from fedidoc.verification.review import Review
from fedidoc.verification.specialties import Specialties
from fedidoc.verification.subscriptions import Subscriptions
from fedidoc.verification.trust import Trust
from fedidoc.verification.vouches import Vouches


@dataclass(frozen=True, slots=True)
class PseudonymRooms:
    """What pages ask for and about pseudonyms. The clinical rooms are those of everybody else, but
    write days instead of times; `delayed` is for who wants their posts to leave later."""

    enrolment: Enrolment
    accounts: Pseudonyms
    openings: Openings
    cases: Cases
    delayed: Cases
    drafts: Drafts
    media: Pictures
    follows: Follows
    blocks: Blocks
    reports: Reports


@dataclass(frozen=True, slots=True)
class Services:
    """What one instance's pages may ask. Each room checks again who may do what.

    `sign_in` is None where no identity provider is configured.
    """

    config: Config
    clock: Clock
    accounts: Accounts
    passes: Passes
    sign_in: SignIn | None
    review: Review
    recheck: Recheck
    exclusions: Exclusions
    audit: Audit
    policy: Policy
    mailboxes: Mailboxes
    documents: Documents
    vouches: Vouches
    trust: Trust
    subscriptions: Subscriptions
    publishing: Publishing
    cases: Cases
    drafts: Drafts
    media: Pictures
    follows: Follows
    blocks: Blocks
    reports: Reports
    moves: Moves
    notifications: Notifications
    profiles: Profiles
    specialties: Specialties
    remote: Remote
    dossiers: Dossiers
    lifetimes: Lifetimes
    nyms: PseudonymRooms | None = None
    """None where nobody may have a pseudonym."""

    def for_pseudonym(self, *, jitter: bool) -> Services:
        """The same rooms as a pseudonym uses them."""
        if self.nyms is None:
            return self
        return replace(
            self,
            cases=self.nyms.delayed if jitter else self.nyms.cases,
            drafts=self.nyms.drafts,
            media=self.nyms.media,
            follows=self.nyms.follows,
            blocks=self.nyms.blocks,
            reports=self.nyms.reports,
        )
