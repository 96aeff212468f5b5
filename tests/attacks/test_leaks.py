"""What only the member and the reviewers may know is searched for in everything that leaves.

A real instance and a peer, each behind a recorder that writes down every byte between them and from
and to everybody else. The member and a reviewer go past the recorder: what they see is theirs.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

from fedidoc.activitypub.errors import ProtocolError
from fedidoc.app import Rooms
from fedidoc.verification.evidence import EvidenceKind
from fedidoc.verification.review import Claim
from tests.attacks.leaks import Recorder, Visitor, forms, search
from tests.instance import free_port, until
from tests.processes.outside import Loop
from tests.processes.site import Caller, Site, ask

SECRETS = {
    "legal first name": "Zqxjannabel",
    "legal last name": "Vogelsang-Mirabeau",
    "licence": "ZQ-778899-K",
    "npi": "1245319599",
    "birth date": "1971-03-09",
    "birth date, day first": "09.03.1971",
    "birth date, in words": "9 March 1971",
    "birth date, American": "03/09/1971",
    "e-mail": "zqxj.private@mail.example",
    "staff id": "STAFF-QX-440917",
    "document name": "zqxj-passport-scan",
}
PASSWORD = "an uncommon sentence"
PUBLIC = "Dr. Anna Publica"
CONTROLS = (PUBLIC, "207RC0000X", "Cardiovascular Disease")


class Hidden(Site):
    """An instance that listens on another port than the one it is known by."""

    real: int = 0

    def init(self) -> Hidden:
        self.real = free_port()
        self._invoke(
            "init", str(self.folder), "--domain", self.domain, "--name", self.name,
            "--host", "127.0.0.1", "--port", str(self.real),
        )  # fmt: skip
        config = self.folder / "config.toml"
        config.write_text(config.read_text() + '\n[log]\nlevel = "debug"\n')
        return self


@dataclass
class World:
    """The hospital, where the member is, and the society, which is told of her."""

    hospital: Hidden
    society: Hidden
    recorders: list[Recorder]
    printed: dict[str, bytes] = field(default_factory=dict)

    def visitor(self, *, recorded: bool = False, site: Hidden | None = None) -> Visitor:
        site = site or self.hospital
        return Visitor(site.port if recorded else site.real, site.domain)

    def command(self, *arguments: str) -> None:
        lines = self.hospital.command(*arguments)
        self.printed[" ".join(arguments)] = json.dumps(lines, ensure_ascii=False).encode()

    def everything(self) -> dict[str, bytes]:
        """All that left so far, by where."""
        found = {"log of the hospital": self.hospital.log.read_bytes()}
        found["log of the society"] = self.society.log.read_bytes()
        for recorder in self.recorders:
            for number, flow in enumerate(list(recorder.flows)):
                head = bytes(flow[:60]).split(b"\r\n")[0].decode("latin-1")
                found[f"wire {recorder.port}/{number} {head}"] = bytes(flow)
        return found | self.printed


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    loop = Loop()
    hospital, society = Hidden(tmp_path / "hospital").init(), Hidden(tmp_path / "society").init()
    recorders = [loop.run(Recorder(site.port, site.real).start()) for site in (hospital, society)]
    try:
        with hospital, society:
            hospital.start()
            society.start()
            hospital.command("peer", "allow", society.domain)
            society.command("peer", "allow", hospital.domain)
            yield World(hospital, society, recorders)
    finally:
        for recorder in recorders:
            loop.run(recorder.stop())
        loop.close()


def picture() -> bytes:
    made = BytesIO()
    Image.new("RGB", (60, 40), "white").save(made, "PNG")
    return made.getvalue()


def log_in(visitor: Visitor, username: str, password: str) -> Visitor:
    status, _ = visitor.submit("/log-in", "/log-in", username=username, password=password)
    assert status == 303
    return visitor


def verified_by_hand(world: World) -> None:
    """Anna signs up, applies with everything she is, is asked, answers, and is approved."""
    world.hospital.command(
        "member", "add", "rita", "--email", "rita@mail.example", "--name", "Rita", "--role",
        "staff", "--admin", "--password-stdin", stdin=PASSWORD,
    )  # fmt: skip
    anna, rita = world.visitor(), log_in(world.visitor(), "rita", PASSWORD)
    status, page = anna.submit(
        "/sign-up", "/sign-up", username="anna", email=SECRETS["e-mail"], password=PASSWORD,
        name=PUBLIC, role="physician", specialty="207RC0000X",
    )  # fmt: skip
    assert status == 303, page
    told = "Born " + ", ".join(v for n, v in SECRETS.items() if n.startswith("birth"))
    claimed = {
        "legal_name": f"{SECRETS['legal first name']} {SECRETS['legal last name']}",
        "profession": "physician", "specialty": "207RC0000X", "jurisdiction": "US-NY",
        "licence_number": SECRETS["licence"], "npi": SECRETS["npi"],
        "note": f"{told}. {SECRETS['staff id']}", "birth_date": SECRETS["birth date"],
    }  # fmt: skip
    # First with a slip, so that an error page and its log line are there too.
    status, page = anna.submit("/apply", "/apply", **{**claimed, "npi": "1245319598"})
    assert status == 400 and SECRETS["licence"] in page
    status, page = anna.submit("/apply", "/apply", **claimed)
    assert status == 303, page
    _, page = anna.get("/application")
    name = SECRETS["document name"] + ".png"
    status, page = anna.upload("/application/documents", anna.token(page), name, picture())
    assert status == 303, page
    application = str(world.hospital.value("SELECT id FROM applications"))
    desk = f"/admin/reviews/{application}"
    status, page = rita.get(desk)
    assert all(SECRETS[n] in page for n in ("licence", "npi", "legal last name", "document name"))
    asked = f"Is {SECRETS['licence']} still yours, born {SECRETS['birth date']}?"
    assert rita.submit(desk, f"{desk}/note", note=asked)[0] == 303
    assert rita.submit(desk, f"{desk}/ask", asking=asked)[0] == 303

    async def answer(rooms: Rooms) -> None:
        account = await rooms.services.accounts.show("anna")
        found = await rooms.services.review.current(account)
        assert found is not None
        given = {f: getattr(found.claim, f) for f in Claim.__dataclass_fields__}
        claim = Claim(**given | {"birth_date": SECRETS["birth date"]})
        await rooms.services.review.apply(account, claim)
        async with rooms.db.transaction() as tx:
            await rooms.services.review.records.record(
                tx, account.id, EvidenceKind.IDENTITY_PROVIDER, by="identity provider",
                detail=f"{SECRETS['staff id']} {SECRETS['e-mail']} {SECRETS['legal last name']}",
            )  # fmt: skip

    world.hospital.with_rooms(answer)
    saw = f"Saw {SECRETS['document name']}, {SECRETS['npi']}, {SECRETS['staff id']}"
    _, page = rita.get(desk)
    status, page = rita.post(
        f"{desk}/approve", {"csrf": rita.token(page), "kinds": "employer", "approval": saw}
    )
    assert status == 303, page
    until(lambda: world.hospital.command("member", "show", "anna")[0]["verified"])


def lives(world: World) -> str:
    """She writes, is followed and answered, changes, is renewed, suspended, restored; her case."""
    hospital, society = world.hospital, world.society
    hospital.member("cara")
    society.member("bob")
    anna_api, bob = hospital.as_member("anna"), society.as_member("bob")
    recorded = Caller(society.url, bob.token)
    society.command("follow", "bob", f"@anna@{hospital.domain}")
    (folder := hospital.folder / "case.txt").write_text("Syncope on exertion. Which valve?")
    hospital.command(
        "case", "open", "anna", "--title", "Syncope", "--text", str(folder), "--audience",
        "verified",
    )  # fmt: skip
    case = until(lambda: recorded.cases().get("Syncope"))
    recorded.post("/v1/statuses", status="Surgical.", in_reply_to_id=case["id"])
    until(lambda: "Surgical." in anna_api.answers(anna_api.cases()["Syncope"]["id"]))
    anna = log_in(world.visitor(), "anna", PASSWORD)
    _, page = anna.get("/settings")
    status, _ = anna.post(
        "/settings",
        {"csrf": anna.token(page), "name": PUBLIC, "summary": "Hearts.", "discoverable": "yes"},
    )
    assert status == 303
    hospital.command("member", "renew", "anna", "--reason", "still here")
    hospital.command("member", "suspend", "anna", "--reason", "inquiry")
    until(lambda: not badge(recorded, hospital)["verified"])
    hospital.command("member", "restore", "anna")
    until(lambda: badge(recorded, hospital)["verified"])
    return str(hospital.value("SELECT id FROM posts WHERE local = 1 AND kind = 'case'"))


def badge(caller: Caller, hospital: Hidden) -> dict[str, object]:
    found: dict[str, object] = caller.get("/v1/accounts/lookup", acct=f"anna@{hospital.domain}")[
        "fedidoc"
    ]["badge"]
    return found


def sweep(world: World, case: str) -> None:
    """Everything that anybody else can ask for, through the recorders."""
    hospital, society = world.hospital, world.society
    actor = str(hospital.value("SELECT actor_id FROM accounts WHERE username = 'anna'"))
    account = str(hospital.value("SELECT id FROM accounts WHERE username = 'anna'"))
    credentials = [str(r[0]) for r in hospital.rows("SELECT id FROM credentials")]
    activities = [str(r[0]) for r in hospital.rows("SELECT uri FROM activities")]
    paths = [
        "/", "/log-in", "/sign-up", "/help", "/actor", "/actor/outbox", "/inbox", "/nodeinfo/2.1",
        "/.well-known/nodeinfo", "/.well-known/host-meta", "/ns/v1", "/ns/credentials/v1",
        f"/.well-known/webfinger?resource=acct:anna@{hospital.domain}",
        "/users/anna", "/users/anna/outbox", "/users/anna/outbox?before=", "/users/anna/followers",
        "/users/anna/followers?after=", "/users/anna/following", "/users/anna/inbox",
        f"/objects/{case}", f"/objects/{case}/context", "/credentials/status/1", "/@anna",
        f"/badge/{actor}", f"/badge/{actor}/credential", f"/badge/{actor}/status-list",
        f"/badge/{account}", "/@anna/followers", "/@anna/following", "/find?q=anna",
        "/find?q=Vogel", "/find?q=9599", f"/cases/{case}", "/?show=all", "/notifications",
        "/application", "/renewal", "/settings", "/admin/reviews", "/admin/calendar",
        "/admin/audit", "/nowhere", "/media/nothing.png", "/%00", "/users/anna/nothing",
        *(f"/credentials/{id}" for id in credentials),
        *(uri.removeprefix(hospital.url) for uri in activities),
    ]  # fmt: skip
    api = [
        f"/v1/accounts/{actor}", f"/v1/accounts/{actor}/statuses", f"/v1/accounts/{account}",
        f"/v1/accounts/lookup?acct=anna@{hospital.domain}", "/v2/search?q=anna&resolve=true",
        f"/v1/accounts/relationships?id[]={actor}", f"/v1/statuses/{case}",
        f"/v1/statuses/{case}/context", f"/v1/statuses/{case}/source", "/v1/timelines/public",
        "/v1/timelines/home", "/v1/notifications", "/v1/instance", "/v2/instance",
        "/v1/accounts/verify_credentials", "/v1/nothing",
    ]  # fmt: skip
    for path in paths:
        for accept in ("text/html", "application/activity+json", "application/json"):
            ask("GET", hospital.url + path, {"Accept": accept})
    ask("POST", f"{hospital.url}/inbox", {"Content-Type": "application/activity+json"}, b"{}")
    cara_api = hospital.as_member("cara")
    for path in api:
        cara_api.try_("GET", path)
    # Pages of a colleague of hers and of a member of the peer, signed in; and what is not theirs.
    password = "another uncommon sentence"
    for site, name in ((hospital, "dora"), (society, "dino")):
        site.command(
            "member", "add", name, "--email", f"{name}@mail.example", "--name", name, "--role",
            "physician", "--verified-by", "test", "--password-stdin", stdin=password,
        )  # fmt: skip
        visitor = log_in(world.visitor(recorded=True, site=site), name, password)
        for path in (*paths, f"/@anna@{hospital.domain}"):
            visitor.get(path)
        ids = [str(r[0]) for r in site.rows("SELECT id FROM actors WHERE username = 'anna'")]
        for id in ids:
            for what in ("", "/credential", "/status-list"):
                assert visitor.get(f"/badge/{id}{what}")[0] == 200

    # A peer's signed requests, by the peer's own fetcher.
    async def read(rooms: Rooms) -> None:
        fetcher = rooms.services.remote._fetcher
        for path in paths:
            try:
                await fetcher.get_bytes(
                    hospital.url + path, max_bytes=1 << 20, signed=True,
                    accept=("application/activity+json", "application/vc+ld+json",
                            "application/json"),
                )  # fmt: skip
            except ProtocolError:
                continue  # what was answered is written down

    society.with_rooms(read)
    for command in (
        ("member", "list"), ("member", "show", "anna"), ("audit", "list", "--limit", "1000"),
        ("audit", "verify"), ("audit", "head"), ("stats",), ("queue", "status"), ("peer", "list"),
    ):  # fmt: skip
        world.command(*command)
    export = hospital.folder / "audit.jsonl"
    world.command("audit", "export", str(export))
    world.printed["audit export"] = export.read_bytes()


def test_nothing_of_who_she_is_leaves_and_a_planted_leak_is_found(world: World) -> None:
    verified_by_hand(world)
    case = lives(world)
    sweep(world, case)
    everything = world.everything()
    assert len(everything) > 300
    # The search can find: what is public is in every kind of place.
    for control in CONTROLS:
        places = {where.split(" ")[0] for where, _, _ in search(everything, {"c": control})}
        assert "wire" in places, control
    shown = {where for where, _, _ in search(everything, {"c": "application_approved"})}
    assert {"audit export", "audit list --limit 1000"} <= shown
    assert any("POST /inbox" in where for where in everything), "what was sent to the peer"
    assert search(everything, SECRETS) == []

    # Planted: her public name is the one on her licence, and a line of the log has her NPI.
    anna = log_in(world.visitor(), "anna", PASSWORD)
    _, page = anna.get("/settings")
    planted = {"csrf": anna.token(page), "name": SECRETS["legal last name"], "discoverable": "yes"}
    assert anna.post("/settings", planted)[0] == 303
    name = {"name": SECRETS["legal last name"]}
    peer = f"wire {world.society.port}/"
    until(lambda: any(where.startswith(peer) for where, _, _ in search(world.everything(), name)))
    world.hospital.as_member("cara").get(f"/v1/statuses/{case}")
    own = f"wire {world.hospital.port}/"
    assert any(where.startswith(own) for where, _, _ in search(world.everything(), name))
    with world.hospital.log.open("a") as log:
        log.write('{"event": "planted", "reason": "124-531 95.99"}\n')
    found = {(where, what) for where, what, _ in search(world.everything(), SECRETS)}
    assert ("log of the hospital", "npi") in found
    assert {what for _, what in found} == {"legal last name", "npi"}


@pytest.mark.parametrize("name", SECRETS)
@pytest.mark.parametrize(
    "how", ["plain", "upper", "reversed", "url", "json", "html", "hex", "base64", "base64url"]
)
def test_every_form_of_a_value_is_found(name: str, how: str) -> None:
    value = SECRETS[name]
    written = {
        "plain": value, "upper": value.upper(), "reversed": value[::-1],
        "url": "".join(f"%{byte:02X}" if not chr(byte).isalnum() else chr(byte)
                       for byte in value.encode()),
        "json": "".join(f"\\u{ord(c):04x}" for c in value),
        "html": "".join(f"&#{ord(c)};" for c in value),
        "hex": value.encode().hex(),
    }  # fmt: skip
    if how.startswith("base64"):
        pack = base64.urlsafe_b64encode if how == "base64url" else base64.b64encode
        for before in ("", "x", "xy", "xyz"):
            packed = pack(f"{before}{value} and more".encode())
            assert search({"there": b"{" + packed + b"}"}, SECRETS), before
    else:
        assert search({"there": f"<p>{written[how]}</p>".encode()}, SECRETS)
    assert not search({"there": b"Nothing of the kind, 12453 and 19599."}, SECRETS)


@pytest.mark.parametrize("grouped", ["124 531 9599", "1245-3195-99", "12,453,195,99", "9959135421"])
def test_a_number_in_groups_or_backwards_is_found(grouped: str) -> None:
    assert search({"there": grouped.encode()}, {"npi": SECRETS["npi"]})
    assert forms(SECRETS["npi"])
