"""Fills the two instances of the demo: every step by the path that people and peers take.

Members are added and verified, the instances allow each other, members follow over the federation,
cases are opened, travel, are answered on the other side, and the answers come home.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from importlib import resources
from typing import Any, TypeVar

from fedidoc import app
from fedidoc.cli.console import Refused
from fedidoc.clinical.drafting import CaseDraft
from fedidoc.config import Config
from fedidoc.model import Account, Audience, FollowState, Post, Role
from fedidoc.storage import cases, queues
from fedidoc.verification import nppes
from fedidoc.verification.claims import Claim

T = TypeVar("T")
BY = "demo"
PATIENCE_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Member:
    """A member of the demo, and the rooms of the instance that they belong to."""

    rooms: app.Rooms
    account: Account
    host: str

    @property
    def handle(self) -> str:
        return f"@{self.account.username}@{self.host}"


async def fill(plan: dict[str, Any], configs: Sequence[Config]) -> None:
    """Everything that the plan names; the servers of both configurations must be running."""
    async with AsyncExitStack() as opened:
        hospital, society = [
            await opened.enter_async_context(app.build_rooms(config)) for config in configs
        ]
        members: dict[str, Member] = {}
        for rooms, of in ((hospital, plan["hospital"]), (society, plan["society"])):
            for member in of["members"]:
                members[member["username"]] = await _join(rooms, member, plan["password"])
        # What happened so far is told to nobody: told to a server that does not hear this one yet,
        # it would be put off, and all that comes later would wait behind it.
        await _await_silence(hospital, society)
        await _ally(hospital, society)
        await _ally(society, hospital)
        await _await_peers(hospital, society)
        await asyncio.gather(
            *(
                _follow(members[follower], members[followed])
                for follower, all_followed in plan["follows"].items()
                for followed in all_followed
            )
        )
        everywhere = (hospital, society)
        await asyncio.gather(*(_tell(case, members, everywhere) for case in plan["cases"]))
        await _apply(hospital, plan)


async def _join(rooms: app.Rooms, member: dict[str, Any], password: str) -> Member:
    specialty = await rooms.services.specialties.find(member["specialty"])
    account, _ = await rooms.services.accounts.add_member(
        member["username"],
        f"{member['username']}@example.org",
        member["name"],
        Role(member["role"]),
        specialty,
        admin=member.get("admin", False),
        password=password,
        by=BY,
    )
    await rooms.services.review.verify_directly(account.id, "Invented for the demo", by=BY)
    # As the database has them now: verified.
    account = await rooms.services.accounts.show(account.username)
    return Member(rooms, account, rooms.services.config.domain)


async def _ally(rooms: app.Rooms, other: app.Rooms) -> None:
    await rooms.services.trust.allow(other.services.config.domain, by=BY)


async def _await_silence(*both: app.Rooms) -> None:
    """Until both have told what there was to tell."""
    for rooms in both:

        async def silent(rooms: app.Rooms = rooms) -> bool:
            return (await queues.counts(rooms.db))["events"]["waiting"] == 0

        await _until(silent, "the instances to work off their events")


async def _await_peers(*both: app.Rooms) -> None:
    """Until each has met the other and pinned its key."""
    for rooms in both:

        async def met(rooms: app.Rooms = rooms) -> bool:
            await rooms.services.trust.refresh()
            return all(peer.issuer_key for peer in await rooms.services.trust.peers())

        await _until(met, "the instances to meet")


async def _follow(follower: Member, followed: Member) -> None:
    services = follower.rooms.services
    actor = await services.remote.find(followed.handle)
    await services.follows.follow(follower.account, actor)

    async def accepted() -> bool:
        return await services.follows.state(follower.account, actor.id) is FollowState.ACCEPTED

    await _until(accepted, f"{followed.handle} to accept {follower.handle}")


async def _tell(
    case: dict[str, Any], members: dict[str, Member], everywhere: Sequence[app.Rooms]
) -> None:
    """One case from its opening to its end; each word waits until all have got the one before."""
    author = members[case["author"]]
    clock = author.rooms.services.clock
    draft = CaseDraft(
        title=case["title"],
        specialty=await author.rooms.services.specialties.find(case["specialty"]),
        age_band=case["age_band"],
        sex=case["sex"],
        presentation=case["presentation"].strip(),
        findings=case["findings"].strip(),
        question=case["question"].strip(),
        audience=Audience(case["audience"]),
        once=clock.random_id(),
    )
    opened = await author.rooms.services.cases.open_case(author.account, draft)
    await _arrived(opened, everywhere)
    said = {case["author"]: opened}
    for answer in case["answers"]:
        colleague = members[answer["author"]]
        to = said[answer.get("to", case["author"])]
        here = await cases.by_uri(colleague.rooms.db, to.uri)
        assert here is not None  # it has arrived everywhere
        given = await colleague.rooms.services.cases.reply(
            colleague.account, here.id, answer["text"].strip(), once=clock.random_id()
        )
        await _arrived(given, everywhere)
        said[answer["author"]] = given
    if "outcome" in case:
        await author.rooms.services.cases.close(
            author.account,
            opened.id,
            outcome=case["outcome"].strip(),
            teaching=case["teaching_points"].strip(),
        )


async def _arrived(post: Post, everywhere: Sequence[app.Rooms]) -> None:
    for rooms in everywhere:

        async def there(rooms: app.Rooms = rooms) -> bool:
            return await cases.by_uri(rooms.db, post.uri) is not None

        await _until(there, f"“{post.title or 'an answer'}” to arrive")


async def _apply(rooms: app.Rooms, plan: dict[str, Any]) -> None:
    """Somebody applies, and the register knows the number."""
    with resources.as_file(resources.files("fedidoc.cli") / "data" / "nppes.csv") as register:
        await nppes.import_nppes(rooms.db, rooms.services.clock, register)
    who = plan["applicant"]
    specialty = await rooms.services.specialties.find(who["specialty"])
    account = await rooms.services.accounts.sign_up(
        who["username"],
        f"{who['username']}@example.org",
        plan["password"],
        who["name"],
        Role(who["role"]),
        specialty,
        address="127.0.0.1",
    )
    claim = Claim(
        legal_name=who["name"],
        profession=Role(who["role"]),
        licence_number=who["licence"],
        jurisdiction=who["jurisdiction"],
        npi=who["npi"],
        specialty=specialty,
    )
    await rooms.services.review.apply(account, claim)


async def _until(holds: Callable[[], Awaitable[bool]], what: str) -> None:
    end = time.monotonic() + PATIENCE_SECONDS
    while not await holds():
        if time.monotonic() > end:
            raise Refused(f"The demo waited {PATIENCE_SECONDS} s for {what}, in vain.")
        await asyncio.sleep(0.1)
