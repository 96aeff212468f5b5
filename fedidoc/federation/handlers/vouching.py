"""Offer of a vouch, and what answers or takes it back."""

from __future__ import annotations

from fedidoc.activitypub.addressing import same_origin
from fedidoc.activitypub.documents import VOUCH_TYPES, id_of, ids
from fedidoc.federation.handlers.table import Batch, Received, Table
from fedidoc.federation.posts import read_specialty
from fedidoc.model import ActorKind
from fedidoc.storage import queues


def register(table: Table) -> None:
    table.add_single("Offer", offer, *VOUCH_TYPES)
    table.add_single("Accept", accept, "Offer")
    table.add_single("Undo", undo_offer, "Offer")
    table.add_single("Undo", undo_accept, "Accept")


async def offer(batch: Batch, received: Received) -> str:
    """Only a trusted server's own actor asks, for an applicant of its own, one colleague."""
    if not _is_instance(batch, received) or not batch.trust.takes_word_of(received.actor.host):
        return "refused: a vouch is asked for by a trusted server itself"
    document, asked = received.activity.raw, received.activity.object or {}
    applicant = batch.actors.get(id_of(document.get("attributedTo")) or "")
    if applicant is None or not same_origin(applicant.uri, received.actor.uri):
        return "refused: the applicant is not of this server"
    if applicant.kind is not ActorKind.PERSON or applicant.deleted or applicant.suspended:
        return "refused: the applicant is nobody"
    recipients = {*received.activity.to, *received.activity.cc}
    colleague = batch.actors.get(recipients.pop()) if len(recipients) == 1 else None
    if colleague is None or not colleague.local or colleague.suspended or colleague.deleted:
        return "ignore: there is nobody of that name who vouches"
    profession = asked.get("profession")
    return await batch.clinic.vouches.receive_request(
        batch.tx,
        applicant,
        colleague,
        received.activity_id,
        profession if isinstance(profession, str) else "",
        read_specialty(asked.get("specialty")),
    )


async def accept(batch: Batch, received: Received) -> str:
    """The answer's words are kept sealed, so they go from the inbox at once."""
    uri = received.activity.object_id or ""
    if not batch.urls.is_ours(uri):
        return "ignore: no such vouch was asked for"
    words = received.activity.raw.get("content")
    effect = await batch.clinic.vouches.receive_vouch(
        batch.tx, received.actor, uri, words if isinstance(words, str) else ""
    )
    await queues.forget_body(batch.tx, received.id)
    return effect


async def undo_offer(batch: Batch, received: Received) -> str:
    if not _is_instance(batch, received):
        return "refused: the request is another server's"
    return await batch.clinic.vouches.receive_request_undone(
        batch.tx, received.actor.host, id_of(received.activity.object) or ""
    )


async def undo_accept(batch: Batch, received: Received) -> str:
    undone = received.activity.object or {}
    if ids(undone.get("actor")) not in ((), (received.actor.uri,)):
        return "refused: the vouch is somebody else's"
    uri = id_of(undone.get("object")) or ""
    if not batch.urls.is_ours(uri):
        return "ignore: no such vouch was asked for"
    return await batch.clinic.vouches.receive_vouch_undone(batch.tx, received.actor, uri)


def _is_instance(batch: Batch, received: Received) -> bool:
    """Whether the signer is the actor that signs its server's credentials."""
    issuer = batch.trust.issuer(received.actor.host)
    return issuer is not None and issuer.uri == received.actor.uri
