"""The ceremony of a trust list, from signers' keys to a subscriber, by its commands."""

from __future__ import annotations

import json
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.instance import Instance

PASSPHRASE = "correct horse battery\n"


@pytest.fixture(scope="module")
def society(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Instance]:
    """A society's instance that is up, and knows one hospital's key."""
    with Instance(tmp_path_factory.mktemp("society"), name="The Society").init().start() as made:
        yield made


@pytest.fixture(scope="module")
def hospital(tmp_path_factory: pytest.TempPathFactory) -> Instance:
    return Instance(tmp_path_factory.mktemp("hospital"), name="The Hospital").init()


@pytest.fixture(scope="module")
def signers(society: Instance) -> list[tuple[Path, str]]:
    """Two signers: their key files, and their public keys."""
    found = []
    for name in ("ann", "bo"):
        file = society.folder / f"{name}.json"
        done = society.run("trust", "keygen", str(file), "--passphrase-stdin", "--json",
                           stdin=PASSPHRASE)  # fmt: skip
        assert done.returncode == 0, done.stderr
        found.append((file, json.loads(done.stdout)["key"]))
    return found


def draft(society: Instance, name: str, *options: str) -> dict[str, Any]:
    file = society.folder / name
    return society.command("trust", "draft", str(file), *options)[0]


def sign(society: Instance, name: str, key: Path, *options: str) -> dict[str, Any]:
    """Signing takes no configuration: it happens on another machine."""
    done = society.run("trust", "sign", str(society.folder / name), "--key", str(key), "--yes",
                       "--passphrase-stdin", "--json", *options, stdin=PASSPHRASE)  # fmt: skip
    assert done.returncode == 0, done.stderr
    signed: dict[str, Any] = json.loads(done.stdout)
    return signed


def refusal(society: Instance, *arguments: str, stdin: str = PASSPHRASE) -> str:
    done = society.run("--config", str(society.folder / "config.toml"), *arguments, stdin=stdin)
    assert done.returncode == 1, (done.stdout, done.stderr)
    assert "inside fedidoc" not in done.stderr
    return done.stderr


def test_a_key_file_is_its_owners_only(signers: list[tuple[Path, str]]) -> None:
    for file, public in signers:
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert public.startswith("z6Mk")


def test_keygen_overwrites_nothing(society: Instance, signers: list[tuple[Path, str]]) -> None:
    file, _ = signers[0]
    before = file.read_bytes()
    words = refusal(society, "trust", "keygen", str(file), "--passphrase-stdin")
    assert "exists already" in words
    assert file.read_bytes() == before
    short = society.folder / "short.json"
    words = refusal(society, "trust", "keygen", str(short), "--passphrase-stdin", stdin="short\n")
    assert "at least 12" in words
    assert not short.exists()


def test_from_keys_to_a_subscriber(
    society: Instance, hospital: Instance, signers: list[tuple[Path, str]]
) -> None:
    (ann, ann_key), (bo, bo_key) = signers
    first = draft(
        society, "list-1.json", "--name", "Accredited", "--signer", ann_key, "--signer", bo_key,
        "--threshold", "2", "--title", f"{society.domain}=The Society",
        "--country", f"{society.domain}=NO",
    )  # fmt: skip
    assert first["sequence"] == 1
    assert {"added", "signer_added"} <= {change["kind"] for change in first["changes"]}
    file = str(society.folder / "list-1.json")

    assert "0 of the signers" in refusal(society, "trust", "publish", file)
    assert sign(society, "list-1.json", ann)["proofs"] == 1
    words = refusal(society, "trust", "publish", file)
    assert "1 of the signers" in words
    again = refusal(society, "trust", "sign", file, "--key", str(ann), "--yes",
                    "--passphrase-stdin")  # fmt: skip
    assert "signed the list already" in again
    words = refusal(society, "trust", "sign", file, "--key", str(bo), "--yes",
                    "--passphrase-stdin", stdin="another passphrase\n")  # fmt: skip
    assert "passphrase is wrong" in words
    assert sign(society, "list-1.json", bo)["proofs"] == 2
    [published] = society.command("trust", "publish", file)
    assert published["url"] == f"{society.url}/trust-list"

    [status] = society.command("trust", "status")
    assert (status["published"]["sequence"], status["published"]["signed"]) == (1, 2)

    config = hospital.folder / "config.toml"
    config.write_text(
        config.read_text().replace("allow_plain_http = false", "allow_plain_http = true")
        + f'\n[trust_lists.society]\nurl = "{published["url"]}"\n'
        f'keys = ["{ann_key}", "{bo_key}"]\nthreshold = 2\n'
    )
    [fetched] = hospital.command("trust", "fetch")
    assert (fetched["outcome"], fetched["sequence"]) == ("accepted", 1)
    [peer] = hospital.command("peer", "list")
    assert (peer["host"], peer["lists"]) == (society.domain, ["society"])
    [status] = hospital.command("trust", "status")
    assert (status["sequence"], status["freshness"], status["flags"]) == (1, "fresh", [])
    assert [each["effect"] for each in status["issuers"]] == ["Allowed by the list society."]

    second = draft(society, "list-2.json", "--remove", society.domain)
    assert [change["kind"] for change in second["changes"]] == ["removed"]
    words = refusal(
        society, "trust", "sign", str(society.folder / "list-2.json"), "--key", str(ann), "--yes",
        "--passphrase-stdin", "--before", str(society.folder / "list-2.json"),
    )  # fmt: skip
    assert "does not follow" in words
    for key in (ann, bo):
        sign(society, "list-2.json", key, "--before", file)
    society.command("trust", "publish", str(society.folder / "list-2.json"))
    [fetched] = hospital.command("trust", "fetch", "society")
    assert fetched["sequence"] == 2
    status, fallen = hospital.command("trust", "status")
    assert status["issuers"] == []
    assert fallen["fallen"] == society.domain
    [deferred] = hospital.command("peer", "allow", society.domain)
    assert deferred["effect"] == "Allowed by you, whatever lists say."
    [deferred] = hospital.command("peer", "defer", society.domain)
    assert deferred["effect"].startswith("Not believed")


def test_words_for_people(society: Instance, hospital: Instance) -> None:
    """The same without --json: sentences, and no control characters."""
    done = hospital.run("--config", str(hospital.folder / "config.toml"), "trust", "status")
    assert done.returncode == 0
    assert "SOCIETY: " in done.stdout
    assert "the next one needs 2 of 2" in done.stdout


def test_what_is_asked_for_wrongly(society: Instance, tmp_path: Path) -> None:
    taken = tmp_path / "taken.json"
    taken.write_text("{}")
    file = str(tmp_path / "list.json")
    assert "exists already" in refusal(society, "trust", "draft", str(taken))
    assert "not on the list" in refusal(society, "trust", "draft", file, "--remove", "x.example")
    assert "is not known here" in refusal(society, "trust", "draft", file, "--add", "x.example")
    assert "cannot be read" in refusal(society, "trust", "publish", file)
    assert "lacks" in refusal(society, "trust", "publish", str(taken))
    assert "There is no [trust_lists.x]" in refusal(society, "trust", "fetch", "x")
    assert "keygen" in refusal(society, "trust", "sign", str(society.folder / "list-2.json"),
                               "--key", str(taken), "--yes", "--passphrase-stdin")  # fmt: skip
    usage = society.run("--config", str(society.folder / "config.toml"), "trust", "draft", file,
                        "--country", "US")  # fmt: skip
    assert usage.returncode == 2
