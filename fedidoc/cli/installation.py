"""`init`: a new instance's configuration."""

from __future__ import annotations

import json
import os
import tomllib
from pathlib import Path

import click

from fedidoc import config, vault
from fedidoc.cli.console import Console, Refused, common, pass_console

DEFAULT_PORT = 8400


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False), metavar="DIR")
@click.option("--domain", required=True, help="Host name in addresses, with port if unusual.")
@click.option("--name", default="", help="How the instance calls itself.")
@click.option("--kind", type=click.Choice(["hospital", "society"]), default="hospital")
@click.option("--contact", default="", help="An address for questions.")
@click.option("--host", default="", help="Address to listen on (default: loopback).")
@click.option("--port", type=click.IntRange(1, 65535), help="Port to listen on.")
@click.option("--database", default="sqlite:///fedidoc.db", help="sqlite:///… or postgresql://…")
@click.option(
    "--allow-plain-http/--no-allow-plain-http",
    default=None,
    help="http:// with peers on loopback addresses (default: only for a loopback domain).",
)
@common
@pass_console
def init(
    console: Console,
    folder: Path,
    domain: str,
    name: str,
    kind: str,
    contact: str,
    host: str,
    port: int | None,
    database: str,
    allow_plain_http: bool | None,
) -> None:
    """Write DIR/config.toml with fresh secrets. Never overwrites one."""
    domain = domain.strip().lower()
    loopback = config.is_loopback(domain)
    plain = loopback if allow_plain_http is None else allow_plain_http
    text = render(
        domain=domain,
        name=name or domain,
        kind=kind,
        contact=contact,
        host=host or _address_of(domain, loopback),
        port=port or _port_of(domain, loopback),
        database=database,
        plain=plain,
    )
    path = folder / "config.toml"
    write(path, text)
    made = config.load(path, {})
    console.record(
        {
            "config": str(path),
            "domain": made.domain,
            "url": made.base_url,
            "host": made.server.host,
            "port": made.server.port,
            "allow_plain_http": plain,
        },
        f"Wrote {path} with fresh secrets; keep a copy of [secrets] key apart from the backups.\n"
        f"Next: fedidoc --config {path} serve",
    )
    if plain:
        console.say(
            "[federation] allow_plain_http is true: this instance may speak http:// with peers on"
            " this machine's loopback addresses. That is for demos and tests."
        )


def render(
    *,
    domain: str,
    name: str,
    kind: str,
    contact: str,
    host: str,
    port: int,
    database: str,
    plain: bool,
    description: str = "",
    accent: str = "",
) -> str:
    """The text of a new configuration; ConfigError if a value cannot stand in it."""
    lines = [
        "# Every key and its default: config.example.toml, beside fedidoc's README.",
        "",
        "[instance]",
        f"domain = {_quote(domain)}",
        f"name = {_quote(name)}",
        f"kind = {_quote(kind)}",
        f"contact = {_quote(contact)}",
        *([f"description = {_quote(description)}"] if description else []),
        *([f"accent = {_quote(accent)}"] if accent else []),
        "",
        "[server]",
        f"host = {_quote(host)}",
        f"port = {port}",
        "",
        "[database]",
        f"url = {_quote(database)}",
        "",
        "[secrets]",
        "# Without this key the sealed data and the members' signing keys are lost.",
        f"key = {_quote(vault.fresh_key())}",
        "",
        "[federation]",
        f"allow_plain_http = {'true' if plain else 'false'}",
        "",
    ]
    return "\n".join(lines)


def write(path: Path, text: str) -> None:
    """Put a configuration at `path`, readable by its owner only.

    Refused if there is one already; the text is checked before anything is written.
    """
    config.parse(tomllib.loads(text), {}, path.parent)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise Refused(f"{path} exists already; it was left as it is.") from None
    except OSError as error:
        raise Refused(f"{path} cannot be written ({error.strerror}).") from None
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)


def _quote(text: str) -> str:
    if any(not c.isprintable() for c in text):
        raise Refused("The configuration takes printable characters only.")
    return json.dumps(text, ensure_ascii=False)


def _address_of(domain: str, loopback: bool) -> str:
    name = config.host_name(domain)
    if not loopback or name == "localhost" or name.endswith(".localhost"):
        return "127.0.0.1"
    return name


def _port_of(domain: str, loopback: bool) -> int:
    port = domain.rpartition(":")[2] if not domain.endswith("]") else ""
    return int(port) if loopback and port.isdigit() else DEFAULT_PORT
