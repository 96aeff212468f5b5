"""`doctor`: look at everything that can be looked at, and say what to do about what is wrong."""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import shutil
import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import click
from cryptography import x509

from fedidoc import config as configuration
from fedidoc.accounts.id_tokens import NotBelieved
from fedidoc.accounts.provider_http import Away
from fedidoc.app import build_provider, guard_of
from fedidoc.cli.console import Console, Refused, common, pass_console, run_async
from fedidoc.clock import DAY, HOUR, Clock, iso
from fedidoc.config import Config
from fedidoc.errors import ConfigError, FedidocError
from fedidoc.mail import Postbox
from fedidoc.storage import health
from fedidoc.vault import Vault
from fedidoc.verification import inventory
from fedidoc.verification.consequences import Freshness, freshness
from fedidoc.verification.subscriptions import Pins
from fedidoc.verification.trust_lists import read as read_list

# 2024: fedidoc did not exist. A machine without a battery begins there or earlier.
_BEGINNING = 1_704_067_200_000
_MARKS = {"ok": "ok  ", "warn": "note", "fail": "FAIL"}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. `fail` needs doing before the instance can be relied on."""

    check: str
    state: Literal["ok", "warn", "fail"]
    text: str


@click.command()
@common
@pass_console
@run_async
async def doctor(console: Console) -> None:
    """Look for what is wrong, and say what to do. Exits with 1 if something must be done."""
    findings = await examine(console.path)
    for finding in findings:
        console.record(
            {"check": finding.check, "state": finding.state, "text": finding.text},
            f"{_MARKS[finding.state]}  {finding.check:<13} {finding.text}",
        )
    failed = sum(finding.state == "fail" for finding in findings)
    if failed:
        raise Refused(f"{failed} of {len(findings)} checks failed.")


async def examine(path: Path) -> list[Finding]:
    """All findings for the configuration at `path`."""
    try:
        config = configuration.load(path)
    except ConfigError as error:
        return [Finding("config", "fail", error.text)]
    now = Clock().now()
    findings = [Finding("config", "ok", f"{path} is for {config.domain}."), *_file(path)]
    try:
        vault = Vault.from_text(config.secrets.key)
    except ConfigError as error:
        return [*findings, Finding("secrets", "fail", error.text)]
    findings.append(Finding("secrets", "ok", "[secrets] key is 32 bytes."))
    findings += _clock(now)
    findings += await _database(config, vault, now)
    findings += _media(config)
    findings += _documents(config)
    findings += _disk(config)
    findings += _plain_http(config)
    findings += _certificate(config, now)
    findings += await _mail(config)
    findings += await _identity_provider(config)
    findings += await asyncio.to_thread(lambda: list(_network(config)))
    return findings


def _file(path: Path) -> Iterator[Finding]:
    mode = path.stat().st_mode & 0o077
    if mode:
        yield Finding(
            "config", "warn", f"Others may read {path} and the secret key in it: chmod 600 {path}"
        )


def _others_may_read(path: Path) -> bool:
    return bool(path.stat().st_mode & 0o007)


def _clock(now: int) -> Iterator[Finding]:
    if now < _BEGINNING:
        yield Finding(
            "clock", "fail", f"The clock says {iso(now)}, which is past; peers refuse signatures."
        )
    else:
        yield Finding("clock", "ok", f"The clock says {iso(now)}; keep it synchronised (NTP).")


async def _database(config: Config, vault: Vault, now: int) -> list[Finding]:
    try:
        found = await health.examine(config.database_url, vault)
    except health.NoDatabase as error:
        return [Finding("database", "warn", error.text)]
    except FedidocError as error:
        return [Finding("database", "fail", error.text)]
    except OSError as error:
        words = f"The database does not answer ({type(error).__name__}); check [database] url."
        return [Finding("database", "fail", words)]
    kind = "SQLite" if config.database_url.startswith("sqlite") else "PostgreSQL"
    findings = [Finding("database", "ok", f"{kind} answers.")]
    file = Path(config.database_url.removeprefix("sqlite:///"))
    if kind == "SQLite" and await asyncio.to_thread(_others_may_read, file):
        findings.append(
            Finding("database", "warn", f"Everybody on this machine may read {file}: chmod 600.")
        )
    if found.pending:
        words = f"{', '.join(found.pending)} not applied: start `serve`, or run `fedidoc migrate`."
        return [*findings, Finding("migrations", "warn", words)]
    findings.append(Finding("migrations", "ok", "The database is up to date."))
    if found.key_fits is False:
        findings.append(
            Finding(
                "secrets", "fail", "[secrets] key does not open this database: put the right one"
                " back. Nobody can sign or log in by e-mail without it.",
            )
        )  # fmt: skip
    findings += _queues(found, now)
    findings += _peers(found)
    findings += _lists(found, config, now)
    findings += _registers(found, config, now)
    if not found.admins:
        findings.append(
            Finding("members", "warn", "Nobody may decide on applications: member add … --admin.")
        )
    return findings


def _queues(found: health.Health, now: int) -> Iterator[Finding]:
    quiet = True
    for name, states in found.counts.items():
        due = found.earliest[name]
        if states["dead"]:
            quiet = False
            yield Finding(
                "queues", "warn", f"{name}: {states['dead']} given up; fedidoc queue retry."
            )
        if due is not None and due < now - HOUR:
            quiet = False
            yield Finding(
                "queues", "fail", f"{name}: work has been due since {iso(due)}; is `serve` or"
                " `worker` running?",
            )  # fmt: skip
    if quiet:
        yield Finding("queues", "ok", "Nothing was given up and nothing is overdue.")


def _registers(found: health.Health, config: Config, now: int) -> Iterator[Finding]:
    quiet = True
    for run in found.imports:
        if run.finished is not None and inventory.is_stale(run, now, config.registers):
            quiet = False
            days = (now - run.finished) // DAY
            yield Finding(
                "registers", "warn", f"{run.register}: imported {days} days ago; import a newer"
                " file, or members are compared with what was true then.",
            )  # fmt: skip
    if found.imports and quiet:
        names = ", ".join(run.register for run in found.imports)
        yield Finding("registers", "ok", f"{names}: as new as they are published.")


def _peers(found: health.Health) -> Iterator[Finding]:
    for peer in found.peers:
        if not peer.heard:
            continue
        if peer.host in found.failing:
            words = f"{peer.host}: the last {found.failing[peer.host]} deliveries failed."
        elif peer.contacted is None:
            words = f"{peer.host} has not answered yet."
        elif peer.require_credential and peer.issuer_key is None:
            words = f"{peer.host} shows no key for credentials; its members are not verified here."
        else:
            continue
        yield Finding("peers", "warn", words)
    heard = sum(peer.heard for peer in found.peers)
    yield Finding("peers", "ok", f"{heard} allowed.")


def _lists(found: health.Health, config: Config, now: int) -> Iterator[Finding]:
    for name, rules in config.trust_lists.items():
        try:
            Pins.of(name, rules)
        except ConfigError as error:
            yield Finding("trust lists", "fail", error.text)
    for each, accepted in found.lists:
        if accepted is None and each.trouble is None:
            continue
        words = each.trouble_text or "all is well."
        state: Literal["ok", "warn", "fail"] = "warn" if each.trouble else "ok"
        if accepted is not None:
            age = freshness(read_list(accepted.document.encode()), now)
            if age is not Freshness.FRESH:
                state = "fail" if age is Freshness.LAPSED else "warn"
                words = "has run out; `fedidoc trust status` says what follows."
        yield Finding("trust lists", state, f"{each.name}: {words}")


def _media(config: Config) -> Iterator[Finding]:
    folder = config.media_folder
    if not folder.exists():
        usable = os.access(folder.parent, os.W_OK)
        state: Literal["ok", "fail"] = "ok" if usable else "fail"
        words = f"{folder} will be made." if usable else f"{folder} cannot be made by this user."
        yield Finding("media", state, words)
    elif not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        yield Finding("media", "fail", f"This user cannot write to {folder}.")
    elif folder.stat().st_mode & 0o007:
        yield Finding("media", "warn", f"Everybody on this machine may read {folder}: chmod 700.")
    else:
        yield Finding("media", "ok", f"{folder} can be written to.")


def _documents(config: Config) -> Iterator[Finding]:
    folder = config.document_folder
    if not folder.exists():
        return  # it is made with the first document
    if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        yield Finding("documents", "fail", f"This user cannot write to {folder}.")
    elif folder.stat().st_mode & 0o077:
        yield Finding("documents", "warn", f"Others may list {folder}: chmod 700.")
    else:
        yield Finding("documents", "ok", f"{folder} is its owner's alone.")


def _disk(config: Config) -> Iterator[Finding]:
    free = shutil.disk_usage(config.folder).free
    words = f"{free / 1e9:.1f} GB are free where the instance lies."
    yield Finding("disk", "fail" if free < 2e8 else "warn" if free < 2e9 else "ok", words)


def _plain_http(config: Config) -> Iterator[Finding]:
    if config.federation.allow_plain_http:
        yield Finding(
            "plain http", "warn", "[federation] allow_plain_http is true: http:// is spoken with"
            " peers on loopback addresses. For demos and tests only.",
        )  # fmt: skip


def _certificate(config: Config, now: int) -> Iterator[Finding]:
    if not config.server.tls_certificate:
        return
    path = config.folder / config.server.tls_certificate
    try:
        certificate = x509.load_pem_x509_certificate(path.read_bytes())
        (config.folder / config.server.tls_key).read_bytes()
    except (OSError, ValueError) as error:
        yield Finding("tls", "fail", f"Certificate or key cannot be read ({type(error).__name__}).")
        return
    ends = int(certificate.not_valid_after_utc.timestamp() * 1000)
    state: Literal["ok", "warn", "fail"] = "ok"
    if ends < now + 14 * DAY:
        state = "fail" if ends < now else "warn"
    yield Finding("tls", state, f"The certificate is valid until {iso(ends)}.")


async def _mail(config: Config) -> list[Finding]:
    postbox = Postbox(config.mail, config.folder, config.instance.name)
    if not postbox.exists:
        return []
    try:
        await postbox.greet()
    except FedidocError as error:
        return [Finding("mail", "fail", error.text)]
    return [Finding("mail", "ok", f"{postbox.server} answers; try `fedidoc mail test ADDRESS`.")]


async def _identity_provider(config: Config) -> list[Finding]:
    rules = config.identity_provider
    if not rules.issuer:
        return []
    check = "sign-in"
    try:
        provider = build_provider(config, Clock(), guard_of(config))
    except ConfigError as error:
        return [Finding(check, "fail", error.text)]
    try:
        found = await provider.metadata()
        keys = await provider.keys()
    except (Away, NotBelieved) as error:
        words = _PROVIDER_FAULTS.get(error.reason, f"its answer is not right ({error.reason})")
        return [Finding(check, "fail", f"The identity provider: {words}.")]
    finally:
        await provider.close()
    findings = [
        Finding(
            check, "ok", f"The identity provider answers; {len(keys)} keys, signed with"
            f" {', '.join(found.algorithms)}.",
        )
    ]  # fmt: skip
    if not keys:
        findings = [Finding(check, "fail", "The identity provider shows no key that can be used.")]
    if not rules.client_secret:
        findings.append(
            Finding(check, "warn", "[identity_provider] client_secret is empty: a public client.")
        )
    if found.end_session_endpoint is None:
        findings.append(
            Finding(check, "warn", "The identity provider ends no sessions: logging out here does"
                    " not log out there.")
        )  # fmt: skip
    return findings


_PROVIDER_FAULTS = {
    "unreachable": "it cannot be reached at [identity_provider] issuer",
    "timeout": "it takes longer than 10 seconds to answer",
    "tls": "its certificate does not hold; put its authority into [identity_provider] ca_file",
    "other_issuer": "it calls itself otherwise than [identity_provider] issuer; copy the issuer to"
    " the letter from its discovery document",
    "status_404": "there is no discovery document at [identity_provider] issuer",
    "redirected": "its discovery document redirects; give the address that it leads to",
    "bad_endpoint": "its discovery document names an address that may not be asked: a private one"
    " on another host, or plain http; see [federation] private_networks",
    "no_algorithm": "it signs with none of RS256, PS256, ES256 and EdDSA",
    "no_code_flow": "it does not offer the authorization code flow",
}


# The network --------------------------------------------------------------------------------


def _network(config: Config) -> Iterator[Finding]:
    name = configuration.host_name(config.domain)
    loopback = configuration.is_loopback(config.domain)
    if not loopback:
        try:
            socket.getaddrinfo(name, None)
        except OSError:
            yield Finding("dns", "fail", f"{name} does not resolve; peers cannot reach it.")
            return
        yield Finding("dns", "ok", f"{name} resolves.")
    try:
        domain = _ask(config)
    except (OSError, http.client.HTTPException, ValueError) as error:
        listening = f"{config.server.host} port {config.server.port}"
        if isinstance(error, ConnectionRefusedError):
            yield Finding("server", "warn", f"Nothing listens on {listening}: start `serve`.")
        else:
            words = f"{listening} answered strangely ({type(error).__name__})."
            yield Finding("server", "fail", words)
    else:
        if domain:
            yield Finding("server", "ok", "The server answers.")
        else:
            yield Finding("server", "fail", "Another program listens on the configured port.")
    if not loopback:
        yield _public(config)


def _ask(config: Config) -> bool:
    """Whether fedidoc answers where the configuration says that it listens."""
    host = config.server.host
    if host in {"0.0.0.0", "::"}:  # noqa: S104
        host = "127.0.0.1"
    connection: http.client.HTTPConnection
    if config.server.tls_certificate:
        # The certificate's name is the domain's and not the address's; `_public` checks it.
        unchecked = ssl._create_unverified_context()  # noqa: S323
        connection = http.client.HTTPSConnection(
            host, config.server.port, timeout=5, context=unchecked
        )
    else:
        connection = http.client.HTTPConnection(host, config.server.port, timeout=5)
    return _is_fedidoc(connection, config.domain)


def _public(config: Config) -> Finding:
    connection = http.client.HTTPSConnection(config.domain, timeout=10)
    try:
        answers = _is_fedidoc(connection, config.domain)
    except ssl.SSLCertVerificationError:
        return Finding("https", "fail", f"The certificate of {config.domain} does not hold.")
    except (OSError, http.client.HTTPException, ValueError) as error:
        words = f"https://{config.domain} cannot be reached from here ({type(error).__name__})."
        return Finding("https", "warn", words)
    if not answers:
        return Finding("https", "fail", f"https://{config.domain} is not this instance.")
    return Finding("https", "ok", f"https://{config.domain} answers.")


def _is_fedidoc(connection: http.client.HTTPConnection, domain: str) -> bool:
    try:
        connection.request(
            "GET", "/nodeinfo/2.1", headers={"Host": domain, "Accept": "application/json"}
        )
        response = connection.getresponse()
        document = json.loads(response.read(1 << 16))
        return response.status == 200 and document["software"]["name"] == "fedidoc"
    except (KeyError, TypeError):
        return False
    finally:
        connection.close()
