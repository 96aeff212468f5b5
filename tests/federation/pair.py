"""A hospital and a society that federate: Ada writes at the one, Bob reads at the other."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

from fedidoc.clinical.drafting import CaseDraft
from fedidoc.model import Account, Actor, Audience, Post
from fedidoc.storage import cases
from tests.federation.network import CARDIOLOGY, Network, Node

DRAFT = CaseDraft(
    title="Syncope on exertion",
    presentation="Two episodes of syncope while climbing stairs.",
    question="Surgery or catheter?",
    specialty=CARDIOLOGY,
    age_band="70-79",
    sex="female",
    findings="Late peaking systolic murmur.",
    audience=Audience.FOLLOWERS,
)


class Pair(NamedTuple):
    """Ada of the hospital writes, Bob of the society reads."""

    network: Network
    hospital: Node
    society: Node
    ada: Account
    bob: Account

    async def follow(self) -> Actor:
        """Bob finds Ada by her handle and follows her."""
        ada = await self.society.remote.find(f"@ada@{self.hospital.domain}")
        await self.society.follows.follow(self.bob, ada)
        await self.network.settle()
        return ada

    async def open_case(self, audience: Audience = Audience.FOLLOWERS) -> tuple[Post, Post | None]:
        """Ada's case, as it is here and as it arrived there."""
        here = await self.hospital.cases.open_case(self.ada, replace(DRAFT, audience=audience))
        await self.network.settle()
        return here, await cases.by_uri(self.society.db, here.uri)


async def make_pair(network: Network) -> Pair:
    hospital, society = await network.instance("hospital"), await network.instance("society")
    await network.befriend(hospital, society)
    return Pair(
        network, hospital, society, await hospital.member("ada"), await society.member("bob")
    )
