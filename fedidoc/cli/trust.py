"""`trust`: lists by which a society names the issuers it accredits: published, signed, followed."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import click
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from fedidoc import app
from fedidoc.cli.console import Console, Refused, common, pass_console, printable, run_async, table
from fedidoc.clock import Clock, iso
from fedidoc.integrity import encode_multikey
from fedidoc.verification import signer_keys, trust_status
from fedidoc.verification.consequences import Difference, differences
from fedidoc.verification.publishing import DAYS, Edits
from fedidoc.verification.trust_lists import ListRefused, TrustList, read
from fedidoc.verification.trust_signatures import Outcome, sign, signed_by
from fedidoc.verification.trust_status import ListStatus

BY = "command line"


@click.group()
@common
def trust() -> None:
    """Trust lists: publish one as a society, or follow those of others."""


# Signers ------------------------------------------------------------------------------------------


@trust.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--passphrase-stdin", is_flag=True, help="Read the passphrase from standard input.")
@common
@pass_console
def keygen(console: Console, file: Path, passphrase_stdin: bool) -> None:
    """Make a signer's key, and keep it in FILE under a passphrase. Needs no server.

    To be run by the signer, on their own machine. The public key that it prints goes to whoever
    drafts the list.
    """
    _refuse_existing(file)
    passphrase = _passphrase(passphrase_stdin, confirm=True)
    key = Ed25519PrivateKey.generate()
    _write(file, signer_keys.seal(key, passphrase))
    public = encode_multikey(key.public_key())
    console.record(
        {"key": public, "file": str(file)},
        f"{public}\nThis is the public key. {file} holds the private one: keep it and its"
        " passphrase apart, and a copy of both where you keep such things.",
    )


@trust.command(name="sign")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option(
    "--key",
    "key_file",
    required=True,
    type=click.Path(path_type=Path, dir_okay=False),
    help="The signer's key, from `fedidoc trust keygen`.",
)
@click.option(
    "--before",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The list before this one, to see what changes.",
)
@click.option("--yes", is_flag=True, help="Sign without asking.")
@click.option("--passphrase-stdin", is_flag=True, help="Read the passphrase from standard input.")
@common
@pass_console
def sign_list(
    console: Console,
    file: Path,
    key_file: Path,
    before: Path | None,
    yes: bool,
    passphrase_stdin: bool,
) -> None:
    """Show what FILE says, ask, and put a signature on it. Needs no server and no network."""
    found = _read_list(file)
    last = _read_list(before) if before else None
    if last is not None and found.previous != last.digest:
        raise Refused(f"{file} does not follow the list in {before}.")
    sealed = _text_of(key_file)
    public = signer_keys.public_key(sealed)
    for line in _summary(found):
        console.say(line)
    for change in differences(last, found) if last else []:
        console.say(f"  * {printable(change.text)}")
    console.say(f"Your key: {public}")
    if not yes and not click.confirm("Sign this list?", err=True):
        raise Refused("Not signed.")
    key = signer_keys.unseal(sealed, _passphrase(passphrase_stdin, confirm=False))
    try:
        signed = sign(found.document, key, Clock().now())
    except ListRefused as refusal:
        raise Refused(refusal.text) from None
    _write(file, _document_text(signed))
    proofs = len(signed["proof"])
    console.record(
        {"file": str(file), "key": public, "sequence": found.sequence, "digest": found.digest,
         "proofs": proofs},
        f"Signed; {file} has {proofs} signature{'s' if proofs > 1 else ''} now.",
    )  # fmt: skip


# Publishing ---------------------------------------------------------------------------------------


def _pairs(_: click.Context, __: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    pairs = [value.partition("=") for value in values]
    if not all(host and equals and text for host, equals, text in pairs):
        raise click.BadParameter("write it as HOST=VALUE.")
    return {host: text for host, _, text in pairs}


@trust.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--name", help="The list's name.")
@click.option("--days", type=click.IntRange(1, 397), default=DAYS, show_default=True,
              help="How long it holds.")  # fmt: skip
@click.option("--signer", "signers", multiple=True, metavar="KEY",
              help="Who signs the lists from then on: each of them.")  # fmt: skip
@click.option("--threshold", type=click.IntRange(1), help="How many of them must.")
@click.option("--add", multiple=True, metavar="HOST", help="A server whose key is known here.")
@click.option("--remove", multiple=True, metavar="HOST", help="No longer accredited.")
@click.option("--suspend", multiple=True, metavar="HOST", help="Not to be believed for now.")
@click.option("--reinstate", multiple=True, metavar="HOST", help="To be believed again.")
@click.option("--rekey", multiple=True, metavar="HOST", help="Take the key that is pinned here.")
@click.option("--country", "countries", multiple=True, callback=_pairs, metavar="HOST=CC",
              help="Its country, two letters.")  # fmt: skip
@click.option("--title", "names", multiple=True, callback=_pairs, metavar="HOST=NAME",
              help="What it is called.")  # fmt: skip
@click.option("--force", is_flag=True, help="Write over FILE.")
@common
@pass_console
@run_async
async def draft(console: Console, /, file: Path, force: bool, **edits: Any) -> None:
    """Write an unsigned list into FILE: the last one with changes, or the first one.

    The first names this instance and every server whose credentials are believed here.
    """
    if not force:
        _refuse_existing(file)
    async with app.build_rooms(console.config()) as rooms:
        document, changes = await rooms.services.publishing.draft(Edits(**edits))
    _write(file, _document_text(document))
    _say_changes(console, changes)
    console.record(
        {"file": str(file), "sequence": document["sequence"], "changes": _changes(changes)},
        f"List {document['sequence']} is drafted in {file}. Next: each signer runs"
        f" `fedidoc trust sign {file} --key …` on their own machine.",
    )


@trust.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@common
@pass_console
@run_async
async def publish(console: Console, file: Path) -> None:
    """Check the signed list in FILE as subscribers do, and serve it from now on."""
    document = _bytes_of(file)
    async with app.build_rooms(console.config()) as rooms:
        found, changes = await rooms.services.publishing.publish(document, by=BY)
        url = rooms.urls.trust_list
    _say_changes(console, changes)
    console.record(
        {"url": url, "sequence": found.sequence, "digest": found.digest,
         "expires": iso(found.expires), "changes": _changes(changes)},
        f"List {found.sequence} is published at {url}, until {iso(found.expires)}."
        f"\nIts digest: {found.digest}",
    )  # fmt: skip


# Following ----------------------------------------------------------------------------------------


@trust.command()
@click.argument("names", nargs=-1, metavar="[NAME]…")
@common
@pass_console
@run_async
async def fetch(console: Console, names: tuple[str, ...]) -> None:
    """Ask the publishers for their lists now; all of them, or those that are named."""
    refused = False
    async with app.build_rooms(console.config()) as rooms:
        for name in names or rooms.services.subscriptions.names:
            verdict = await rooms.subscribing.ask(name)
            stand = await rooms.services.subscriptions.held(name)
            text = verdict.text if verdict else stand.row.trouble_text or "Nothing is new."
            refused = refused or stand.row.trouble is not None
            console.record(
                {
                    "list": name,
                    "outcome": verdict.outcome.value if verdict else Outcome.UNCHANGED.value,
                    "reason": stand.row.trouble,
                    "sequence": stand.found.sequence if stand.found else None,
                    "text": text,
                },
                f"{name}: {printable(text)}",
            )
    if refused:
        raise Refused("A list could not be had or does not count; `fedidoc trust status` explains.")


@trust.command()
@common
@pass_console
@run_async
async def status(console: Console) -> None:
    """Explain each list: its age and signers, each issuer, what follows, what is wrong."""
    async with app.build_rooms(console.config()) as rooms:
        services = rooms.services
        now = services.clock.now()
        published = await services.publishing.current()
        consequences = await services.subscriptions.consequences()
        lists = [
            trust_status.describe(stand, consequences, own_host=rooms.urls.authority, now=now)
            for stand in await services.subscriptions.stands()
        ]
        fallen = trust_status.fallen(consequences)
    if published is not None:
        signed = signed_by(published, published.signers.keys, now)
        console.record(
            {"published": {"url": published.url, **_facts(published), "signed": len(signed)}},
            "\n".join(["PUBLISHED HERE", *_summary(published)]),
        )
    for each in lists:
        console.record(_record(each), _words(each))
    for peer in fallen:
        effect = trust_status.effect_on(peer)
        console.record({"fallen": peer.host, "effect": effect}, f"{peer.host}: {effect}")
    if published is None and not lists:
        console.say("No list is published or followed here; docs/operator.md says how.")


def _record(each: ListStatus) -> dict[str, Any]:
    return {
        "list": each.name,
        "url": each.url,
        "mode": each.mode,
        "title": each.title,
        "sequence": each.sequence,
        "digest": each.digest,
        "issued": _time(each.issued),
        "expires": _time(each.expires),
        "freshness": each.freshness,
        "signed": each.signed,
        "threshold": each.threshold,
        "signers": list(each.signers),
        "asked": _time(each.asked),
        "answered": _time(each.answered),
        "flags": [{"text": text, "advice": advice} for text, advice in each.flags],
        "issuers": [
            {
                "host": issuer.host,
                "name": issuer.name,
                "country": issuer.country,
                "status": issuer.status,
                "key": issuer.key,
                "effect": issuer.effect,
                "notes": list(issuer.notes),
            }
            for issuer in each.issuers
        ],
    }


def _words(each: ListStatus) -> str:
    lines = [f"{each.name.upper()}: {each.url}"]
    if each.sequence is not None:
        lines.append(
            f"  {printable(each.title)}: list {each.sequence}, issued {_time(each.issued)},"
            f" {'expired' if each.freshness != 'fresh' else 'holds until'} {_time(each.expires)}"
        )
        lines.append(f"  digest {each.digest}")
        lines.append(
            f"  signed by {each.signed}; the next one needs {each.threshold} of"
            f" {len(each.signers)}: {', '.join(each.signers)}"
        )
    lines.append(f"  last asked {_time(each.asked)}, last answered {_time(each.answered)}")
    for text, advice in each.flags:
        lines.append(f"  ! {printable(text)} {printable(advice)}")
    if each.issuers:
        rows = [[i.host, i.name, i.country, i.status, i.effect] for i in each.issuers]
        lines.append(table(("host", "name", "country", "status", "here"), rows))
    for issuer in each.issuers:
        lines.extend(f"  ! {printable(note)}" for note in issuer.notes)
    return "\n".join(lines) + "\n"


# Parts --------------------------------------------------------------------------------------------


def _facts(found: TrustList) -> dict[str, Any]:
    return {
        "sequence": found.sequence,
        "digest": found.digest,
        "issued": iso(found.issued),
        "expires": iso(found.expires),
        "threshold": found.signers.threshold,
        "signers": list(found.signers.keys),
        "issuers": [issuer.host for issuer in found.issuers],
    }


def _summary(found: TrustList) -> list[str]:
    """What a list says, for a person who is to sign it."""
    signers = found.signers
    rows = [[i.host, i.name, i.country, i.status.value, i.key] for i in found.issuers]
    return [
        f"{printable(found.name)}: {printable(found.url)}",
        f"List {found.sequence}, issued {iso(found.issued)}, holds until {iso(found.expires)}",
        f"Digest {found.digest}; of the one before: {found.previous or 'none, this is the first'}",
        f"The next list needs {signers.threshold} of {len(signers.keys)}:",
        *(f"  {key}" for key in signers.keys),
        table(("host", "name", "country", "status", "key"), rows),
    ]


def _say_changes(console: Console, changes: list[Difference]) -> None:
    for change in changes:
        console.say(f"  * {printable(change.text)}")
    if not changes:
        console.say("  Nothing changes but the number and the dates.")


def _changes(changes: list[Difference]) -> list[dict[str, str]]:
    return [{"kind": c.kind, "subject": c.subject, "text": c.text} for c in changes]


def _time(moment: int | None) -> str | None:
    return iso(moment) if moment is not None else None


def _passphrase(from_stdin: bool, *, confirm: bool) -> str:
    if from_stdin:
        return sys.stdin.readline().rstrip("\n")
    answer: str = click.prompt("Passphrase", hide_input=True, confirmation_prompt=confirm, err=True)
    return answer


def _refuse_existing(file: Path) -> None:
    if file.exists():
        raise Refused(f"{file} exists already; name another file.")


def _read_list(file: Path) -> TrustList:
    try:
        return read(_bytes_of(file))
    except ListRefused as refusal:
        raise Refused(f"{file}: {refusal.text}") from None


def _text_of(file: Path) -> str:
    try:
        return _bytes_of(file).decode()
    except UnicodeDecodeError:
        raise Refused(f"{file} is not a text file.") from None


def _bytes_of(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise Refused(f"{file} cannot be read ({type(error).__name__}).") from None


def _document_text(document: dict[str, Any]) -> str:
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _write(file: Path, text: str) -> None:
    """All of it or nothing, and for its owner only (`run` sets the umask)."""
    partial = file.with_name(file.name + ".partial")
    try:
        with partial.open("w", encoding="utf-8") as opened:
            opened.write(text)
            opened.flush()
            os.fsync(opened.fileno())
        partial.replace(file)
    except OSError as error:
        raise Refused(f"{file} cannot be written ({type(error).__name__}).") from None
