"""`credential check`: check a physician credential in a file, without an instance."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from fedidoc.cli.console import Console, Refused, common, pass_console, printable
from fedidoc.clock import Clock, iso
from fedidoc.errors import BadInput
from fedidoc.integrity import IntegrityError, decode_multikey
from fedidoc.verification.checks import (
    MAX_BYTES,
    MAX_LIST_BYTES,
    Issuer,
    NotBelieved,
    check_status_list,
    examine,
    origin,
    status_list_uri,
)
from fedidoc.verification.examination import Examination, Result
from fedidoc.verification.status import StatusBits

_MARKS = {Result.PASSED: "holds", Result.FAILED: "FAILS", Result.NOT_MADE: "not made"}


@click.group()
@common
def credential() -> None:
    """Physician credentials, as any server shows them."""


@credential.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False, exists=True))
@click.option("--actor", required=True, metavar="URI", help="Whom it must be about.")
@click.option(
    "--issuer-key",
    required=True,
    metavar="MULTIKEY",
    help="The issuer's key (z6Mk…), from the issuer and not from the credential.",
)
@click.option("--issuer", metavar="URI", help="Who must have issued it (default: /actor there).")
@click.option("--key-id", metavar="URI", help="The key's id (default: ISSUER#credential-key).")
@click.option(
    "--status-list",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="The issuer's status list, fetched within 72 hours.",
)
@click.option("--without-status", is_flag=True, help="Leave revocation out, and say so.")
@common
@pass_console
def check(
    console: Console,
    file: Path,
    actor: str,
    issuer_key: str,
    issuer: str | None,
    key_id: str | None,
    status_list: Path | None,
    without_status: bool,
) -> None:
    """Check the credential in FILE by the rules that every instance follows.

    Needs no configuration, no database and no network. Exits with 0 if every check holds, with 1
    if one does not. Without --status-list nobody can know whether the issuer took it back, and the
    credential does not count, unless --without-status leaves that out.
    """
    if status_list is not None and without_status:
        raise click.UsageError("Give --status-list or --without-status, not both.")
    trusted = _issuer(actor, issuer, key_id, issuer_key)
    document = _read(file, MAX_BYTES)
    now = Clock().now()
    bits, trouble = _status(status_list, document, trusted, now)
    found = examine(
        document,
        actor_uri=actor,
        trusted=trusted,
        status=bits,
        now=now,
        without_status=without_status,
    )
    console.record(_record(found, trouble), _words(found, trouble))
    if not found.badge.verified:
        sys.stdout.flush()
        sys.exit(1)


def _issuer(actor: str, uri: str | None, key_id: str | None, key: str) -> Issuer:
    place = origin(actor)
    if place is None:
        raise BadInput("--actor takes the web address of an actor.")
    try:
        public = decode_multikey(key)
    except IntegrityError as error:
        raise BadInput(f"--issuer-key is no Ed25519 Multikey (z6Mk…): {error.text}") from None
    uri = uri or f"{place[0]}://{place[1]}/actor"
    found = origin(uri)
    if found is None:
        raise BadInput("--issuer takes the web address of an instance's actor.")
    return Issuer(found[1], uri, key_id or f"{uri}#credential-key", public)


def _status(
    file: Path | None, document: bytes, trusted: Issuer, now: int
) -> tuple[StatusBits | None, str | None]:
    """The list in a file, or why it does not count."""
    uri = status_list_uri(document, trusted)
    if file is None or uri is None:
        return None, None
    try:
        listed = _read(file, MAX_LIST_BYTES)
        return check_status_list(listed, uri=uri, trusted=trusted, now=now), None
    except NotBelieved as refusal:
        return None, f"The status list does not count: {refusal}"


def _read(file: Path, most: int) -> bytes:
    """A little more than is allowed, so that the check says what is wrong."""
    try:
        with file.open("rb") as opened:
            return opened.read(most + 1)
    except OSError as error:
        raise Refused(f"{file} cannot be read: {error.strerror}.") from None


def _record(found: Examination, trouble: str | None) -> dict[str, Any]:
    badge = found.badge
    return {
        "valid": badge.verified,
        "reason": badge.reason,
        "status_list": trouble,
        "issuer": badge.issuer,
        "profession": badge.profession,
        "specialty": badge.specialty.code if badge.specialty else None,
        "jurisdiction": badge.jurisdiction,
        "assurance": badge.assurance,
        "valid_from": iso(badge.valid_from) if badge.valid_from is not None else None,
        "valid_until": iso(badge.valid_until) if badge.valid_until is not None else None,
        "credential": badge.credential,
        "checks": [
            {
                "step": check.step.value,
                "result": check.result.value,
                "detail": check.detail,
                "at": iso(check.at),
            }
            for check in found.checks
        ],
    }


def _words(found: Examination, trouble: str | None) -> str:
    lines = [
        f"{check.step.value:<9} {_MARKS[check.result]:<9} {printable(check.detail)}"
        for check in found.checks
    ]
    if trouble:
        lines.append(printable(trouble))
    lines.append("It counts." if found.badge.verified else "It does not count.")
    return "\n".join(lines)
