"""From keys to an opened record and a successor, all by the commands that people would type."""

from __future__ import annotations

import asyncio
from pathlib import Path

from fedidoc import config
from fedidoc.app import build_rooms
from tests.instance import Instance
from tests.nyms import PASSPHRASE

SECRET = "a long officer's secret"
CASE = "Threats against a colleague in case 9"


def keygen(instance: Instance, name: str) -> tuple[Path, str]:
    """An officer's key file and its public half, made without an instance's configuration."""
    file = instance.folder / f"{name}.key"
    done = instance.run(
        "officer", "keygen", str(file), "--name", name, "--passphrase-stdin", "--json",
        stdin=SECRET + "\n",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert file.stat().st_mode & 0o077 == 0
    public = done.stdout.split('"public":"')[1].split('"')[0]
    return file, public


def configure(instance: Instance, keys: dict[str, str]) -> None:
    path = instance.folder / "config.toml"
    text = path.read_text().partition("[pseudonyms]")[0]
    text += "[pseudonyms]\nthreshold = 2\ncrowd = 5\n"
    for name, public in keys.items():
        text += f'[officers.{name}]\nkey = "{public}"\norganisation = "Society"\n'
    path.write_text(text)


async def enrol(path: Path, handles: dict[str, str]) -> None:
    """Everybody is handed a code; some use theirs."""
    async with build_rooms(config.load(path)) as rooms:
        nyms = rooms.services.nyms
        assert nyms is not None
        for name in ("anna", "bert", "carla", "dirk", "emil"):
            code = await nyms.enrolment.hand_out(await rooms.services.accounts.show(name))
            if name in handles:
                assert code is not None
                await nyms.enrolment.enrol(code, handles[name], PASSPHRASE, address="192.0.2.1")


def share_of(instance: Instance, file: Path, key: Path) -> str:
    done = instance.run(
        "officer", "open-share", str(file), "--key", str(key), "--yes", "--passphrase-stdin",
        stdin=SECRET + "\n",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_the_whole_way(tmp_path: Path) -> None:
    instance = Instance(tmp_path / "site").init()
    path = instance.folder / "config.toml"
    keys = {name: keygen(instance, name) for name in ("ada", "ben", "cleo")}
    configure(instance, {name: public for name, (_, public) in keys.items()})
    for name in ("anna", "bert", "carla", "dirk", "emil"):
        instance.member(name)
    moderators = {
        name: instance.command(
            "member", "add", name, "--email", f"{name}@example.org", "--name", name.title(),
            "--role", "staff", "--admin",
        )[0]["password"]
        for name in ("rita", "sam")
    }  # fmt: skip
    asyncio.run(enrol(path, {"carla": "quiet_heron", "dirk": "grey_falcon"}))
    assert instance.command("pseudonym", "activate", "--now") == [
        {"opened": 2, "renewed": 0, "waiting": 0}
    ]
    listed = [line["handle"] for line in instance.command("pseudonym", "list")]
    assert listed == ["grey_falcon", "quiet_heron"]

    # A case: asked, not approved by the same moderator, approved by another.
    def by(name: str, *words: str) -> tuple[int, str]:
        done = instance.run(
            "--config", str(path), *words, "--by", name, "--password-stdin",
            stdin=moderators[name] + "\n",
        )  # fmt: skip
        return done.returncode, done.stdout + done.stderr

    code, text = by("rita", "escrow", "request", "quiet_heron", "--case", CASE)
    assert code == 0, text
    case = instance.command("escrow", "list")[0]["case"]
    assert by("rita", "escrow", "approve", case)[0] == 1
    file = instance.folder / "case.json"
    assert instance.run("--config", str(path), "escrow", "export", case, str(file)).returncode == 1
    assert by("sam", "escrow", "approve", case)[0] == 0
    instance.command("escrow", "export", case, str(file))
    assert "carla" not in file.read_text() and CASE in file.read_text()

    # An officer's successor takes over before it is opened; nothing is opened by that.
    fay, public = keygen(instance, "fay")
    configure(instance, {**{n: p for n, (_, p) in keys.items()}, "fay": public})
    records, out = instance.folder / "records.json", instance.folder / "out.json"
    instance.command("escrow", "export", "-", str(records), "--officer", "ben")
    done = instance.run(
        "officer", "hand-over", str(records), str(out), "--key", str(keys["ben"][0]),
        "--to", "fay", "--to-key", public, "--passphrase-stdin", stdin=SECRET + "\n",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert instance.command("escrow", "import", str(out)) == [{"records": 2}]
    file.unlink()
    instance.command("escrow", "export", case, str(file))
    done = instance.run(
        "officer", "open-share", str(file), "--key", str(keys["ben"][0]), "--yes",
        "--passphrase-stdin", stdin=SECRET + "\n",
    )  # fmt: skip
    assert done.returncode == 1 and "holds no share" in done.stderr

    # One share is not enough; two in any order are, once.
    shares = [share_of(instance, file, key) for key in (fay, keys["ada"][0])]
    for few in ([shares[0]], [shares[0], shares[0]]):
        done = instance.run("--config", str(path), "escrow", "open", case, *few)
        assert done.returncode == 1 and "2 different shares" in done.stderr
    opened = instance.command("escrow", "open", case, *shares)
    assert opened == [{"case": case, "handle": "quiet_heron", "username": "carla"}]
    assert instance.run("--config", str(path), "escrow", "open", case, *shares).returncode == 1
    log = instance.command("audit", "list", "--limit", "50")
    told = [row for row in log if str(row["action"]).startswith(("escrow", "pseudonym"))]
    assert len(told) >= 5 and "carla" not in str(told)
    assert instance.run("--config", str(path), "audit", "verify").returncode == 0


def test_what_does_not_fit_together_is_told_at_the_start(tmp_path: Path) -> None:
    instance = Instance(tmp_path / "site").init()
    _, public = keygen(instance, "ada")
    configure(instance, {"ada": public})
    done = instance.run("--config", str(instance.folder / "config.toml"), "pseudonym", "list")
    assert done.returncode == 1 and "[pseudonyms] threshold" in done.stderr
    configure(instance, {"ada": public, "ben": public})
    done = instance.run("--config", str(instance.folder / "config.toml"), "pseudonym", "list")
    assert done.returncode == 1 and "another key" in done.stderr
