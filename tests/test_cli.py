"""The commands as scripts use them: names, options, JSON, exit codes, and never a traceback."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import socket
import stat
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from fedidoc.cli import main
from tests.instance import Instance, free_port, until

ROOT = Path(__file__).resolve().parents[1]
CASE = "Chest pain for two days, worse lying flat. CRP 84 mg/L, troponin normal twice."


def run(
    *arguments: str | bytes, cwd: Path | None = None, stdin: bytes = b"", **environment: str
) -> subprocess.CompletedProcess[bytes]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith("FEDIDOC_")}
    return subprocess.run(
        [sys.executable, "-m", "fedidoc", *arguments],
        capture_output=True,
        cwd=cwd or ROOT,
        input=stdin,
        timeout=120,
        env={**kept, "PYTHONPATH": str(ROOT), **environment},
    )


def lines(done: subprocess.CompletedProcess[bytes]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in done.stdout.splitlines()]


def refused(done: subprocess.CompletedProcess[bytes], code: int = 1) -> str:
    """The one sentence of a refusal; it stands on standard error alone, or in JSON as well."""
    assert done.returncode == code, (done.stdout, done.stderr)
    words = done.stderr.decode()
    assert words.strip()
    assert len(words.strip().splitlines()) == 1
    assert "Traceback" not in words
    assert "inside fedidoc" not in words
    return words.strip()


@dataclass
class Answer:
    """How a command that ran in this process ended."""

    code: int
    out: str
    err: str

    @property
    def records(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.splitlines()]


class Shell:
    """Runs commands in this process, which is ten times quicker than a process for each."""

    def __init__(
        self, capture: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self._capture, self._monkeypatch = capture, monkeypatch

    def run(self, *arguments: str, stdin: str = "") -> Answer:
        self._monkeypatch.setattr(sys, "argv", ["fedidoc", *arguments])
        self._monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin.encode())))
        self._capture.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        captured = self._capture.readouterr()
        assert isinstance(ended.value.code, int)
        assert "Traceback" not in captured.err
        assert "inside fedidoc" not in captured.err
        return Answer(ended.value.code, captured.out, captured.err)

    def command(self, *arguments: str, stdin: str = "") -> list[dict[str, Any]]:
        """The records of a command that succeeds."""
        done = self.run(*arguments, "--json", stdin=stdin)
        assert done.code == 0, (done.out, done.err)
        return done.records

    def refused(self, *arguments: str, code: int = 1) -> str:
        """The reason, which stands on standard output as JSON and on standard error as words."""
        done = self.run("--json", *arguments)
        assert done.code == code, (done.out, done.err)
        record = done.records[-1]
        assert list(record) == ["error"]
        assert done.err.strip() == record["error"]
        assert len(done.err.strip().splitlines()) == 1
        return str(record["error"])


@pytest.fixture
def shell(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Shell:
    """A shell in an empty folder."""
    for name in list(os.environ):
        if name.startswith("FEDIDOC_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    return Shell(capfd, monkeypatch)


# Before there is an instance ------------------------------------------------------------------


def test_without_a_command_it_explains_itself() -> None:
    done = run()
    assert done.returncode == 2
    assert b"Usage: fedidoc" in done.stdout
    done = run("--help")
    assert done.returncode == 0
    assert b"serve" in done.stdout


@pytest.mark.parametrize(
    "arguments",
    [
        ["nothing"],
        ["init"],
        ["init", "x", "--domian", "y"],
        ["member", "add", "x"],
        ["member", "add", "x", "--email", "e", "--name", "n", "--role", "king"],
        ["peer", "allow"],
        ["case", "open", "x", "--title", "t", "--text", "f", "--audience", "everybody"],
        ["register", "import", "yellowpages", "f"],
        ["init", "x", "--domain", "a.example", "--port", "0"],
    ],
)
def test_wrong_usage_is_2_and_says_what(shell: Shell, arguments: list[str]) -> None:
    assert shell.refused(*arguments, code=2)
    assert shell.run(*arguments).out == ""


def test_a_command_without_a_configuration_says_how_to_get_one(shell: Shell) -> None:
    for arguments in (["stats"], ["serve"], ["member", "list"], ["backup", "x.tar.gz"]):
        assert "fedidoc init" in shell.refused(*arguments)
    for arguments in (["--config", "no.toml", "stats"], ["stats", "--config", "no.toml"]):
        assert "no.toml" in shell.refused(*arguments)


# init -----------------------------------------------------------------------------------------


def test_init_writes_a_configuration_that_only_its_owner_reads(
    shell: Shell, tmp_path: Path
) -> None:
    shell.command("init", "house", "--domain", "st-olaf.example", "--name", "St. “Olaf”")
    path = tmp_path / "house" / "config.toml"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    made = tomllib.loads(path.read_text())
    assert made["instance"] == {
        "domain": "st-olaf.example",
        "name": "St. “Olaf”",
        "kind": "hospital",
        "contact": "",
    }
    assert made["server"] == {"host": "127.0.0.1", "port": 8400}
    assert made["federation"] == {"allow_plain_http": False}
    for key in ("domain", "host", "port", "url", "allow_plain_http"):
        assert re.search(rf"^{key} = ", path.read_text(), re.MULTILINE), key


def test_init_makes_another_secret_every_time_and_never_overwrites(
    shell: Shell, tmp_path: Path
) -> None:
    keys = set()
    for name in ("a", "b"):
        shell.command("init", name, "--domain", "a.example")
        keys.add(tomllib.loads((tmp_path / name / "config.toml").read_text())["secrets"]["key"])
    assert len(keys) == 2
    before = (tmp_path / "a" / "config.toml").read_bytes()
    assert "exists" in shell.refused("init", "a", "--domain", "b.example")
    assert (tmp_path / "a" / "config.toml").read_bytes() == before


@pytest.mark.parametrize(
    ("domain", "host", "port"),
    [
        ("127.0.0.1:8401", "127.0.0.1", 8401),
        ("127.0.0.2:9000", "127.0.0.2", 9000),
        ("hospital.localhost:8402", "127.0.0.1", 8402),
        ("localhost", "127.0.0.1", 8400),
        ("[::1]:8403", "::1", 8403),
    ],
)
def test_a_loopback_instance_listens_where_its_domain_says(
    shell: Shell, domain: str, host: str, port: int
) -> None:
    record = shell.command("init", "x", "--domain", domain)[0]
    assert (record["host"], record["port"], record["allow_plain_http"]) == (host, port, True)
    assert record["url"] == f"http://{domain}"
    assert "http://" in shell.run("init", "y", "--domain", domain).err  # it says so
    (strict,) = shell.command("init", "z", "--domain", domain, "--no-allow-plain-http")
    assert strict["allow_plain_http"] is False


@pytest.mark.parametrize(
    "arguments",
    [
        ["--domain", "https://a.example"],
        ["--domain", "a b"],
        ["--domain", ""],
        ["--domain", "a.example", "--name", "two\nlines"],
        ["--domain", "a.example", "--database", "mysql://x"],
    ],
)
def test_init_writes_nothing_that_would_not_load(
    shell: Shell, arguments: list[str], tmp_path: Path
) -> None:
    assert shell.refused("init", "x", *arguments)
    assert not (tmp_path / "x").exists()


# inspect and phi ------------------------------------------------------------------------------


def test_inspect_judges_every_file_in_a_line(tmp_path: Path) -> None:
    note = {
        "@context": "https://www.w3.org/ns/activitystreams",
        "id": "https://a.example/activities/1",
        "type": "Create",
        "actor": "https://a.example/users/x",
        "to": "https://www.w3.org/ns/activitystreams#Public",
        "object": {
            "id": "https://a.example/objects/1",
            "type": "Note",
            "attributedTo": "https://a.example/users/x",
            "content": "<p>Hello</p>",
        },
    }
    (tmp_path / "good.json").write_text(json.dumps(note))
    (tmp_path / "twice.json").write_text('{"type": "Like", "type": "Follow"}')
    (tmp_path / "bytes.json").write_bytes(b"\xff\x00{")
    (tmp_path / "large.json").write_bytes(b" " * (1 << 20) + b"{}")
    os.mkfifo(tmp_path / "pipe.json")
    (tmp_path / os.fsdecode(b"na\xffme.json")).write_text("[]")
    names: list[str | bytes] = ["good.json", "twice.json", "bytes.json", "large.json", "pipe.json"]
    names += [b"na\xffme.json", "absent.json", "."]
    done = run("inspect", *names, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    records = lines(done)
    assert len(records) == len(names)
    for record in records:
        assert list(record) == [
            "file", "ok", "type", "object_type", "actor", "audience", "effect", "reason",
        ]  # fmt: skip
    assert records[0] == {
        "file": "good.json",
        "ok": True,
        "type": "Create",
        "object_type": "Note",
        "actor": "https://a.example/users/x",
        "audience": "public",
        "effect": "store_post",
        "reason": records[0]["reason"],
    }
    assert not any(record["ok"] for record in records[1:])
    reasons = [record["reason"] for record in records[1:]]
    assert all(reasons)
    assert reasons[2:4] == ["too_large", "not_a_file"]


def test_inspect_understands_what_other_servers_send(corpora: Path) -> None:
    files = sorted(str(path) for path in corpora.rglob("*.json"))[:1500]
    done = run("inspect", *files)
    assert done.returncode == 0, done.stderr
    assert [record["file"] for record in lines(done)] == files


def test_the_guard_reads_lines_and_counts_code_points() -> None:
    texts = [
        {"id": 1, "text": "😀 SSN 078-05-1120."},
        {"id": "b", "text": "BP 120/80, troponin 14 ng/L."},
    ]
    sent = "".join(json.dumps(item) + "\n" for item in texts).encode()
    done = run("phi", "scan", "--jsonl", stdin=sent)
    assert done.returncode == 0
    first, second = lines(done)
    assert first["id"] == 1
    (finding,) = first["findings"]
    assert set(finding) == {"start", "end", "kind", "severity"}
    assert "😀 SSN 078-05-1120."[finding["start"] : finding["end"]] == "078-05-1120"
    assert finding["severity"] == "block"
    assert second == {"id": "b", "findings": []}


def test_a_bad_line_costs_only_itself() -> None:
    sent = b'{"id": 1, "text": "ok"}\nnonsense\n\n{"id": 2}\n{"id": 3, "text": 4}\n\xff\n'
    sent += b'{"id": 4, "text": "Fax 555-867-5309"}'
    done = run("phi", "scan", "--jsonl", stdin=sent)
    refused(done)
    records = lines(done)
    assert [record.get("id", record.get("line")) for record in records] == [1, 2, 4, 5, 6, 4]
    assert records[-1]["findings"]


def test_later_registers_say_that_they_are_not_read_yet(shell: Shell) -> None:
    words = shell.refused("register", "import", "openpayments", "x.csv")
    assert "yet" in words
    assert "nppes" in words


# With an instance -----------------------------------------------------------------------------


class House:
    """An instance that runs as a process of its own, and commands for it."""

    def __init__(self, instance: Instance, shell: Shell) -> None:
        self.instance, self._shell = instance, shell
        self.config = str(instance.folder / "config.toml")

    def run(self, *arguments: str, stdin: str = "") -> Answer:
        return self._shell.run("--config", self.config, *arguments, stdin=stdin)

    def command(self, *arguments: str, stdin: str = "") -> list[dict[str, Any]]:
        return self._shell.command("--config", self.config, *arguments, stdin=stdin)

    def refused(self, *arguments: str) -> str:
        return self._shell.refused("--config", self.config, *arguments)

    def member(self, username: str, *options: str) -> dict[str, Any]:
        return self.command(
            "member", "add", username, "--email", f"{username}@example.org",
            "--name", username.replace("_", " ").title(), "--role", "physician",
            "--specialty", "207RC0000X", *(options or ("--verified-by", "Employed here")),
        )[0]  # fmt: skip

    def queue(self) -> dict[str, dict[str, int]]:
        status: dict[str, dict[str, int]] = self.command("queue", "status")[0]
        return status

    def stats(self) -> dict[str, int]:
        return self.command("stats")[0]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Instance]:
    """An instance that runs, with a verified member who is an admin."""
    with Instance(tmp_path_factory.mktemp("house") / "a") as instance:
        instance.init().start()
        instance.member("grace", "--verified-by", "Employed here", "--admin")
        yield instance


@pytest.fixture
def house(running: Instance, shell: Shell) -> House:
    return House(running, shell)


def test_a_member_is_added_shown_suspended_and_restored(house: House) -> None:
    made = house.member("amina")
    assert set(made) == {"username", "actor", "password"}
    assert made["actor"] == f"{house.instance.url}/users/amina"
    assert len(made["password"]) >= 12
    shown = house.command("member", "show", "amina")[0]
    assert shown["standing"] == "verified"
    assert shown["verified"] is True
    assert house.command("member", "suspend", "amina", "--reason", "left")[0]["standing"] == (
        "suspended"
    )
    assert house.command("member", "restore", "amina")[0]["standing"] == "verified"
    assert {"grace", "amina"} <= {row["username"] for row in house.command("member", "list")}


def test_a_member_without_a_reason_is_not_verified(house: House) -> None:
    house.command(
        "member", "add", "new_one", "--email", "n@example.org", "--name", "New One",
        "--role", "physician",
    )  # fmt: skip
    assert house.command("member", "show", "new_one")[0]["standing"] == "new"


def test_a_password_may_come_from_standard_input(house: House) -> None:
    made = house.command(
        "member", "add", "typed", "--email", "t@example.org", "--name", "Typed Pass",
        "--role", "staff", "--admin", "--password-stdin", stdin="a quiet corridor\n",
    )[0]  # fmt: skip
    assert made["password"] == "a quiet corridor"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["add", "grace", "--email", "g@x.org", "--name", "G", "--role", "physician"], "username"),
        (["add", "a b", "--email", "g@x.org", "--name", "G", "--role", "physician"], "letters"),
        (["add", "ok_1", "--email", "nobody", "--name", "G", "--role", "physician"], "e-mail"),
        (
            ["add", "ok_2", "--email", "o@x.org", "--name", "G H", "--role", "physician",
             "--specialty", "cardio"],
            "NUCC",
        ),
        (
            ["add", "ok_3", "--email", "p@x.org", "--name", "G H", "--role", "staff",
             "--verified-by", "me myself"],
            "Staff",
        ),
        (["show", "nobody"], "no member"),
        (["suspend", "nobody", "--reason", "x"], "no member"),
        (["restore", "grace"], "not suspended"),
    ],
)  # fmt: skip
def test_a_refused_member_says_why(house: House, arguments: list[str], words: str) -> None:
    assert words in house.refused("member", *arguments)
    names = {row["username"] for row in house.command("member", "list")}
    assert not names & {"ok_1", "ok_2", "ok_3"}


def test_a_token_is_made(house: House) -> None:
    record = house.command("token", "create", "grace")[0]
    assert record["username"] == "grace"
    assert len(record["token"]) > 30
    plain = house.run("token", "create", "grace").out
    assert plain.strip() != record["token"]
    assert len(plain.split()) == 1  # the token and nothing else, for scripts without JSON


def test_peers_are_allowed_limited_and_blocked(house: House) -> None:
    first, second = house.command("peer", "allow", "Society.EXAMPLE", "127.0.0.1:1")
    assert first["host"] == "society.example"
    assert second["host"] == "127.0.0.1:1"
    assert first["require_credential"] is True
    plain = house.command("peer", "allow", "plain.example", "--no-require-credential")[0]
    assert plain["require_credential"] is False
    assert house.command("peer", "limit", "plain.example")[0]["policy"] == "limited"
    assert house.command("peer", "block", "127.0.0.1:1")[0]["policy"] == "blocked"
    policies = {row["host"]: row["policy"] for row in house.command("peer", "list")}
    assert policies == {
        "society.example": "allowed",
        "plain.example": "limited",
        "127.0.0.1:1": "blocked",
    }


@pytest.mark.parametrize("domain", ["https://a.example", "a/b", "a b", "", "a.example:99999", "@a"])
def test_a_peer_that_is_no_domain_is_refused(house: House, domain: str) -> None:
    assert "domain" in house.refused("peer", "allow", domain)


def test_numbers_have_the_promised_shape(house: House) -> None:
    assert house.queue().keys() == {"inbox", "delivery"}
    for counts in house.queue().values():
        assert counts.keys() == {"waiting", "done", "dead"}
    stats = house.stats()
    assert stats.keys() == {"members", "actors", "posts", "peers"}
    assert all(type(number) is int for number in stats.values())
    assert house.command("queue", "retry")[0]["revived"] >= 0


def test_registers_are_imported(house: House, tmp_path: Path) -> None:
    sample = ROOT / "fedidoc" / "cli" / "data" / "nppes.csv"
    (record,) = house.command("register", "import", "nppes", str(sample))
    assert (record["rows"], record["malformed"], record["already"]) == (1, 0, False)
    assert house.command("register", "import", "nppes", str(sample))[0]["already"] is True
    wrong = tmp_path / "wrong.csv"
    wrong.write_text("a,b\n1,2\n")
    for name in ("nppes", "nucc", "deactivated", "leie"):
        assert house.refused("register", "import", name, str(wrong))
        assert house.refused("register", "import", name, str(tmp_path / "absent.csv"))


def test_registers_are_listed_with_what_is_loaded(house: House) -> None:
    sample = ROOT / "fedidoc" / "cli" / "data" / "nppes.csv"
    house.command("register", "import", "nppes", str(sample))
    shelves = {record["register"]: record for record in house.command("register", "list")}
    assert shelves["nppes"]["rows"] >= 1 and shelves["nppes"]["file"] == "nppes.csv"
    assert (shelves["nppes"]["days"], shelves["nppes"]["stale"]) == (0, False)
    assert (shelves["leie"]["loaded"], shelves["leie"]["rows"]) == (None, 0)


def test_a_case_is_opened_by_the_same_path_as_the_page(house: House, tmp_path: Path) -> None:
    text = tmp_path / "case.md"
    text.write_text(CASE)
    before = house.stats()["posts"]
    made = house.command(
        "case", "open", "grace", "--title", "Pericarditis or not?", "--text", str(text),
        "--audience", "followers",
    )[0]  # fmt: skip
    assert made["object"].startswith(f"{house.instance.url}/objects/")
    assert made["activity"].startswith(f"{house.instance.url}/activities/")
    assert house.stats()["posts"] == before + 1


def test_the_guard_stands_before_the_command_too(house: House, tmp_path: Path) -> None:
    text = tmp_path / "case.md"
    text.write_text("Seen on 14 March 2026, MRN 12345678.")
    before = house.stats()["posts"]
    error = house.refused(
        "case", "open", "grace",
        "--title", "Pericarditis", "--text", str(text), "--audience", "public",
    )  # fmt: skip
    assert "mrn" in error
    assert "12345678" not in error
    assert house.stats()["posts"] == before


def test_somebody_who_is_not_verified_opens_nothing(house: House, tmp_path: Path) -> None:
    text = tmp_path / "case.md"
    text.write_text(CASE)
    house.command(
        "member", "add", "waits", "--email", "w@example.org", "--name", "Who Waits",
        "--role", "physician",
    )  # fmt: skip
    before = house.stats()["posts"]
    assert house.refused(
        "case", "open", "waits", "--title", "T", "--text", str(text), "--audience", "public"
    )
    assert house.stats()["posts"] == before


def test_following_somebody_here_and_nobody_there(house: House) -> None:
    house.member("sofia")
    made = house.command("follow", "sofia", f"@grace@{house.instance.domain}")[0]
    assert made["object"] == f"{house.instance.url}/users/grace"
    assert made["activity"].startswith(f"{house.instance.url}/follows/")
    for target in ("@nobody@not-allowed.example", "nonsense", "http://169.254.169.254/latest"):
        assert house.refused("follow", "sofia", target)


def test_doctor_finds_an_instance_that_runs(house: House) -> None:
    findings = house.command("doctor")
    states = {(finding["check"], finding["state"]) for finding in findings}
    assert ("server", "ok") in states
    assert ("migrations", "ok") in states
    assert ("plain http", "warn") in states
    assert "fail" not in {state for _, state in states}


def test_doctor_names_what_is_wrong(house: House, tmp_path: Path) -> None:
    text = (house.instance.folder / "config.toml").read_text()
    other = tmp_path / "config.toml"
    other.write_text(
        re.sub(r'key = ".*"', f'key = "{"A" * 43}="', text).replace(
            "sqlite:///fedidoc.db", f"sqlite:///{house.instance.folder}/fedidoc.db"
        )
    )
    done = run("doctor", "--config", str(other), "--json")
    assert done.returncode == 1
    failed = {f["check"] for f in lines(done) if f.get("state") == "fail"}
    assert failed == {"secrets"}


def test_only_the_instances_own_user_reads_its_files(house: House) -> None:
    house.command("stats")
    for path in house.instance.folder.rglob("*"):
        if path != house.instance.log:
            assert not path.stat().st_mode & 0o077, path
    database = house.instance.folder / "fedidoc.db"
    database.chmod(0o644)
    assert any("chmod 600" in finding["text"] for finding in house.command("doctor"))
    database.chmod(0o600)


def test_a_taken_port_is_said_before_anything_is_served(house: House) -> None:
    words = refused(run("--config", str(house.instance.folder / "config.toml"), "serve"))
    assert str(house.instance.port) in words
    assert "taken" in words


def test_a_restore_refuses_while_the_server_runs(house: House, tmp_path: Path) -> None:
    target = tmp_path / "b.tar.gz"
    record = house.command("backup", str(target))[0]
    assert record["domain"] == house.instance.domain
    assert record["config"] is False
    assert house.command("restore", "--check", str(target))[0]["made"] == record["made"]
    done = run(
        "--config", str(house.instance.folder / "config.toml"), "restore", str(target), "--force"
    )
    assert "running" in refused(done)


# A life of its own ----------------------------------------------------------------------------


def test_an_instance_comes_back_from_its_backup_alone(tmp_path: Path) -> None:
    first = Instance(tmp_path / "first").init()
    first.command("migrate")
    first.member("grace")
    target = tmp_path / "all.tar.gz"
    first.command("backup", str(target), "--include-config")
    path = tmp_path / "second" / "config.toml"
    done = run("--config", str(path), "restore", str(target), "--json")
    assert done.returncode == 0, done.stderr
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    second = Instance(tmp_path / "second", host=first.host, port=first.port)
    assert second.command("member", "show", "grace")[0]["standing"] == "verified"
    with second.start():
        assert second.stats()["members"] == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_serve_stops_cleanly_when_told(tmp_path: Path, number: signal.Signals) -> None:
    instance = Instance(tmp_path / "a").init().start()
    process = instance.process
    assert process is not None
    # A connection that stays open must not hold it up.
    with socket.create_connection((instance.host, instance.port)):
        process.send_signal(number)
        started = time.monotonic()
        assert process.wait(20) == 0
        assert time.monotonic() - started < 10
    assert "Traceback" not in instance.log.read_text()
    instance.start()
    assert instance.stop() == 0


def test_worker_alone_does_what_serve_left(tmp_path: Path) -> None:
    with Instance(tmp_path / "a") as instance:
        instance.init().start("--no-worker")
        instance.member("grace")
        text = tmp_path / "case.md"
        text.write_text(CASE)
        instance.command(
            "case", "open", "grace", "--title", "T", "--text", str(text), "--audience", "followers"
        )
        config = str(instance.folder / "config.toml")
        worker = subprocess.Popen(
            [sys.executable, "-m", "fedidoc", "--config", config, "worker"],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        try:

            def done() -> bool:
                shown = instance.run("--config", config, "queue", "status").stdout
                events = next(row for row in shown.splitlines() if row.startswith("events"))
                waiting, finished, _ = map(int, events.split()[1:])
                return waiting == 0 and finished > 0

            until(done)
        finally:
            worker.terminate()
            output, _ = worker.communicate(timeout=20)
        assert worker.returncode == 0, output


def test_the_demo_is_ready_keeps_its_data_and_stops(tmp_path: Path) -> None:
    ports = (str(free_port()), str(free_port()))

    def start() -> tuple[dict[str, Any], float, int, bytes]:
        began = time.monotonic()
        process = subprocess.Popen(
            [sys.executable, "-m", "fedidoc", "demo", "--json", "--folder", str(tmp_path / "d"),
             "--ports", *ports],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )  # fmt: skip
        assert process.stdout is not None
        line = process.stdout.readline()
        ready = time.monotonic() - began
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=30)
        assert line, errors
        return json.loads(line), ready, process.returncode, errors

    record, first, code, errors = start()
    assert code == 0, errors
    assert [i["url"] for i in record["instances"]] == [
        f"http://hospital.localhost:{ports[0]}",
        f"http://society.localhost:{ports[1]}",
    ]
    for key in ("hospital", "society"):
        config = tmp_path / "d" / key / "config.toml"
        stats = lines(run("--config", str(config), "stats", "--json"))[0]
        assert stats["posts"] == 10  # three cases and seven answers, on both sides
        assert stats["peers"] == 1
    config = tmp_path / "d" / "hospital" / "config.toml"
    applicant = lines(run("--config", str(config), "member", "show", "kate_lindgren", "--json"))
    assert applicant[0]["standing"] == "applied"
    again, second, code, errors = start()
    assert code == 0, errors
    assert again == record
    assert second < first / 2


# What was decided -------------------------------------------------------------------------------


def test_the_audit_log_is_listed_exported_and_checked(shell: Shell) -> None:
    shell.command("init", ".", "--domain", "st-olaf.example")
    shell.refused("audit", "head")  # nobody has made the database yet
    shell.command("migrate")
    assert shell.command("audit", "list") == []
    assert shell.command("audit", "head") == [{"number": 0, "digest": "0" * 64}]
    for name in ("amina", "berta"):
        shell.command(
            "member", "add", name, "--email", f"{name}@example.org", "--name", name.title(),
            "--role", "physician", "--verified-by", "Employed here",
        )  # fmt: skip
    listed = shell.command("audit", "list")
    assert [row["number"] for row in listed] == list(range(len(listed), 0, -1))
    assert listed[0]["action"] == "application_approved"
    assert len(shell.command("audit", "list", "--action", "member_added")) == 2
    assert len(shell.command("audit", "list", "--limit", "3")) == 3
    (head,) = shell.command("audit", "head")
    (exported,) = shell.command("audit", "export", "log.jsonl")
    assert exported == {
        "file": "log.jsonl", "rows": len(listed), "whole": True, "head": head["digest"],
    }  # fmt: skip
    assert stat.S_IMODE(Path("log.jsonl").stat().st_mode) == 0o600
    assert "is there already" in shell.refused("audit", "export", "log.jsonl")
    shell.refused("audit", "export", "nowhere/log.jsonl")
    for where in ([], ["log.jsonl"]):
        (checked,) = shell.command("audit", "verify", *where)
        assert (checked["whole"], checked["rows"], checked["compared"]) == (
            True, len(listed), False,
        )  # fmt: skip
        for kept in (head["digest"], f"{head['number']} {head['digest']}"):
            assert shell.command("audit", "verify", *where, "--head", kept)[0]["compared"]
        assert "cut off" in shell.refused("audit", "verify", *where, "--head", "f" * 64)
    shell.refused("audit", "verify", "--head", "nonsense", code=2)
    shell.refused("audit", "verify", "missing.jsonl", code=2)
    lines = Path("log.jsonl").read_bytes().splitlines(keepends=True)
    Path("cut.jsonl").write_bytes(b"".join(lines[:-1]))
    assert shell.command("audit", "verify", "cut.jsonl")[0]["rows"] == len(listed) - 1
    assert "cut off" in shell.refused("audit", "verify", "cut.jsonl", "--head", head["digest"])
    Path("changed.jsonl").write_bytes(b"".join(lines).replace(b"member_added", b"member_adder"))
    assert "row 1 is missing" in shell.refused("audit", "verify", "changed.jsonl")
    # Looking adds nothing.
    assert shell.command("audit", "head") == [head]
