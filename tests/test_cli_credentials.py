"""`credential check` and a member's life, from the command line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from fedidoc.clock import DAY, HOUR, Clock, iso
from fedidoc.integrity import create_proof, encode_multikey
from fedidoc.verification import status
from tests.instance import Instance
from tests.test_cli import lines, refused, run

BASE = "https://st-olaf.example"
ACTOR, LIST = f"{BASE}/users/anna", f"{BASE}/credentials/status/1"
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
OTHER = Ed25519PrivateKey.from_private_bytes(bytes(range(1, 33)))


def signed(document: dict[str, Any]) -> bytes:
    now = datetime.now(UTC)
    method = f"{BASE}/actor#credential-key"
    return json.dumps(
        {**document, "proof": create_proof(document, KEY, method, "assertionMethod", now)}
    ).encode()


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """A credential and its status list, made now."""
    now = Clock().now()
    shared = {
        "@context": ["https://www.w3.org/ns/credentials/v2"],
        "issuer": f"{BASE}/actor",
        "validFrom": iso(now - HOUR),
    }
    credential = shared | {
        "id": f"{BASE}/credentials/abc",
        "type": ["VerifiableCredential", "PhysicianCredential"],
        "validUntil": iso(now + DAY),
        "credentialSubject": {"id": ACTOR, "profession": "physician", "assurance": "employer"},
        "credentialStatus": {
            "id": f"{LIST}#7",
            "type": "BitstringStatusListEntry",
            "statusPurpose": "revocation",
            "statusListIndex": "7",
            "statusListCredential": LIST,
        },
    }
    listed = shared | {
        "id": LIST,
        "type": ["VerifiableCredential", "BitstringStatusListCredential"],
        "validUntil": iso(now + DAY),
        "credentialSubject": {
            "id": f"{LIST}#list",
            "type": "BitstringStatusList",
            "statusPurpose": "revocation",
            "encodedList": status.encode([8]),
        },
    }
    (tmp_path / "c.json").write_bytes(signed(credential))
    (tmp_path / "l.json").write_bytes(signed(listed))
    return tmp_path / "c.json", tmp_path / "l.json"


def check(
    file: Path, *options: str | Path, key: Ed25519PrivateKey = KEY, actor: str = ACTOR
) -> Any:
    given = ["--actor", actor, "--issuer-key", encode_multikey(key.public_key())]
    return run("credential", "check", str(file), *given, *map(str, options), cwd=file.parent)


def test_a_credential_that_holds_exits_with_0(files: tuple[Path, Path]) -> None:
    file, listed = files
    done = check(file, "--status-list", listed, "--json")
    (found,) = lines(done)
    assert (done.returncode, found["valid"], found["assurance"]) == (0, True, "employer")
    assert [c["result"] for c in found["checks"]] == ["passed"] * 8 + ["not_made"]
    words = check(file, "--status-list", listed)
    assert words.returncode == 0
    assert b"It counts." in words.stdout


def test_whatever_does_not_hold_exits_with_1(files: tuple[Path, Path]) -> None:
    file, listed = files
    assert check(file).returncode == 1, "nobody knows whether it was taken back"
    assert check(file, "--without-status").returncode == 0
    assert check(file, "--status-list", listed, key=OTHER).returncode == 1
    assert check(file, "--status-list", listed, actor=ACTOR + "2").returncode == 1
    assert check(file, "--status-list", file).returncode == 1
    for options in (("--issuer", f"{BASE}/other"), ("--key-id", f"{BASE}/actor#main-key")):
        assert check(file, "--without-status", *options).returncode == 1
    for junk in (b"", b"[" * 5000, b"\xff\xfe", file.read_bytes() + b"x", b" " * 70_000):
        (file.parent / "junk.json").write_bytes(junk)
        done = check(file.parent / "junk.json", "--json")
        assert done.returncode == 1
        assert lines(done)[0]["checks"][0] | {"at": "", "detail": ""} == {
            "step": "document", "result": "failed", "detail": "", "at": "",
        }  # fmt: skip
        assert done.stderr == b""


def test_wrong_usage(files: tuple[Path, Path]) -> None:
    file, listed = files
    assert refused(run("credential", "check", str(file)), 2)
    assert refused(check(file.parent / "absent.json"), 2)
    assert refused(check(file, "--status-list", listed, "--without-status"), 2)
    assert "Multikey" in refused(
        run("credential", "check", str(file), "--actor", ACTOR, "--issuer-key", "z6Mkk")
    )
    assert "--actor" in refused(check(file, actor="anna"))
    assert "--issuer" in refused(check(file, "--issuer", "st-olaf"))


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[Instance]:
    with Instance(tmp_path / "hospital").init() as made:
        yield made


def test_renewed_revoked_and_restored_from_the_command_line(instance: Instance) -> None:
    instance.member("anna")
    first = instance.command("member", "show", "anna")[0]
    (renewed,) = instance.command("member", "renew", "anna", "--reason", "Still employed here")
    second = instance.command("member", "show", "anna")[0]
    assert renewed["standing"] == "verified" and renewed["valid_until"]
    assert second["verified"] and second["credential"] != first["credential"]
    (revoked,) = instance.command("member", "revoke", "anna", "--reason", "Licence lapsed")
    assert revoked["standing"] == "refused"
    assert not instance.command("member", "show", "anna")[0]["verified"]
    config = ("--config", str(instance.folder / "config.toml"))
    assert "not verified" in refused(run(*config, "member", "renew", "anna", "--reason", "x"))
    assert "no credential" in refused(run(*config, "member", "revoke", "anna", "--reason", "x"))
    assert refused(run(*config, "member", "revoke", "nobody", "--reason", "x"))
    assert refused(run(*config, "member", "revoke", "anna"), 2)
    assert instance.command("member", "restore", "anna")[0]["standing"] == "verified"
    assert instance.command("member", "show", "anna")[0]["verified"]
