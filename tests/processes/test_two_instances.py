"""Two instances as processes over sockets, on each kind of database: the whole main job.

A hospital and a society that allow each other, and a third server that nobody allowed.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from benchmarks.peer import SimulatedPeer
from fedidoc.app import Rooms
from fedidoc.clock import Clock
from fedidoc.federation.signing import InstanceSigner
from fedidoc.vault import Vault
from tests.instance import CommandFailed
from tests.postgres import RunningServer
from tests.processes.outside import simulated_peer
from tests.processes.site import Answer, Caller, Site, ask, watch

_STORY = "A man in his sixties has had chest pressure for three hours. What would you do first?"


@dataclass
class Federation:
    hospital: Site
    society: Site
    stranger: Site
    osler: Caller  # at the hospital
    curie: Caller  # at the society; follows osler
    hopper: Caller  # at the society; follows nobody
    folder: Path

    def open_case(self, title: str, audience: str) -> str:
        """A case of osler's, by the command; its address."""
        text = self.folder / "case.txt"
        text.write_text(_STORY)
        opened = self.hospital.command(
            "case", "open", "osler", "--title", title, "--text", str(text), "--audience", audience
        )[0]  # fmt: skip
        address: str = opened["object"]
        return address

    def settle(self) -> None:
        """Wait until neither side has anything left to send or to do."""
        for site in (self.hospital, self.society):
            end = time.monotonic() + 30
            while left := _left(site):
                assert time.monotonic() < end, f"{site.name} still has {left}"
                time.sleep(0.1)


def _left(site: Site) -> list[tuple[object, ...]]:
    """What waits in the queues of a site."""
    return [
        (table, row["attempts"], row["lease_by"], row["last_error"])
        for table in ("inbox", "events", "deliveries")
        for row in site.rows(f"SELECT * FROM {table} WHERE state = 'waiting'")
    ]


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def federation(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Federation]:
    folder = tmp_path_factory.mktemp("federation")
    urls: list[str | None] = [None, None]
    if request.param == "postgresql":
        server: RunningServer = request.getfixturevalue("postgres_server")
        names = [server.fresh_database() for _ in urls]
        urls = [server.url(name) for name in names]
        for name in names:
            request.addfinalizer(partial(server.drop_database, name))
    hospital = Site(folder / "hospital", "127.0.0.1", name="Hospital", database=urls[0]).init()
    society = Site(folder / "society", "127.0.0.2", name="Society", database=urls[1]).init()
    stranger = Site(folder / "stranger", "127.0.0.3", name="Stranger").init()
    hospital.member("osler")
    society.member("curie")
    society.member("hopper")
    society.member("unverified_ida", "--admin")
    stranger.member("mallory")
    with hospital, society, stranger:
        for site in (hospital, society, stranger):
            site.start()
        # After the start, so that nobody has to wait for another who is not up yet.
        hospital.command("peer", "allow", society.domain)
        society.command("peer", "allow", hospital.domain)
        # A stranger may wish; it is the hospital that does not know it.
        stranger.command("peer", "allow", hospital.domain)
        for site in (hospital, society):
            watch(partial(site.value, "SELECT COUNT(*) FROM peers WHERE issuer_key IS NOT NULL"))
        made = Federation(
            hospital, society, stranger, hospital.as_member("osler"), society.as_member("curie"),
            society.as_member("hopper"), folder,
        )  # fmt: skip
        society.command("follow", "curie", f"@osler@{hospital.domain}")
        watch(lambda: hospital.value("SELECT COUNT(*) FROM follows WHERE state = 'accepted'") == 1)
        watch(lambda: society.value("SELECT COUNT(*) FROM follows WHERE state = 'accepted'") == 1)
        yield made
        made.settle()
        for site in (hospital, society):
            queue = site.queue()
            assert queue["inbox"]["dead"] == 0
            assert queue["delivery"]["dead"] == 0
            assert site.stop() == 0


@pytest.mark.parametrize("audience", ["followers", "verified", "public"])
def test_a_case_is_answered_changed_and_deleted(federation: Federation, audience: str) -> None:
    osler, curie, hopper = federation.osler, federation.curie, federation.hopper
    title = f"Chest pressure, for {audience}"
    before = federation.hospital.stats()["posts"], federation.society.stats()["posts"]
    assert before[0] == before[1]
    federation.open_case(title, audience)
    there = watch(lambda: curie.cases().get(title))
    assert there["fedidoc"]["audience"] == audience
    assert "chest pressure for three hours" in there["fedidoc"]["presentation"]
    assert (title in hopper.cases()) == (audience != "followers")
    here = osler.cases()[title]

    # The answer comes home, with a badge that was checked there.
    answer = curie.post(
        "/v1/statuses", status="An ECG within ten minutes.", in_reply_to_id=there["id"]
    )
    assert answer["fedidoc"]["audience"] == audience
    home = watch(lambda: osler.answers(here["id"]).get("An ECG within ten minutes."))
    badge = home["account"]["fedidoc"]["badge"]
    assert badge["verified"] is True
    assert badge["issuer"] == federation.society.domain
    assert there["account"]["fedidoc"]["badge"]["issuer"] == federation.hospital.domain
    notices = osler.get("/v1/notifications")
    assert [n["type"] for n in notices if (n.get("status") or {}).get("id") == home["id"]] == [
        "mention"
    ]
    assert osler.cases()[title]["fedidoc"]["state"] == "answered"
    watch(lambda: curie.cases()[title]["fedidoc"]["state"] == "answered")

    # Changes follow, both ways.
    curie.put(f"/v1/statuses/{answer['id']}", status="An ECG, then troponin.")
    watch(lambda: "An ECG, then troponin." in osler.answers(here["id"]))
    osler.put(f"/v1/statuses/{here['id']}", findings="The ECG shows ST elevation in V2 to V4.")
    watch(lambda: "ST elevation" in curie.cases()[title]["fedidoc"]["findings"])
    assert "An ECG within ten minutes." not in osler.answers(here["id"])

    # Thanks cross as well, and can be taken back.
    curie.post(f"/v1/statuses/{there['id']}/favourite")
    watch(lambda: osler.get(f"/v1/statuses/{here['id']}")["favourites_count"] == 1)
    curie.post(f"/v1/statuses/{there['id']}/unfavourite")
    watch(lambda: osler.get(f"/v1/statuses/{here['id']}")["favourites_count"] == 0)

    federation.settle()
    counts = federation.hospital.stats(), federation.society.stats()
    assert counts[0]["posts"] == counts[1]["posts"] == before[0] + 2

    # Deletions too, of what another server's member wrote under it as well as of the case.
    curie.delete(f"/v1/statuses/{answer['id']}")
    watch(lambda: osler.answers(here["id"]) == {})
    osler.delete(f"/v1/statuses/{here['id']}")
    watch(lambda: title not in curie.cases())
    assert curie.try_("GET", f"/v1/statuses/{there['id']}").status == 404
    federation.settle()
    assert federation.hospital.stats()["posts"] == before[0]
    assert federation.society.stats()["posts"] == before[1]
    gone = federation.society.rows(
        "SELECT html, source FROM posts WHERE deleted IS NOT NULL AND title = ?", title
    )
    assert all(not row["html"] and not row["source"] for row in gone)


def test_both_sides_count_the_same(federation: Federation) -> None:
    """Two members and two instances are known on either side, and the one follow."""
    federation.settle()
    hospital, society = federation.hospital.stats(), federation.society.stats()
    assert (hospital["members"], society["members"]) == (1, 3)
    assert hospital["peers"] == society["peers"] == 1
    follow = "SELECT state, uri FROM follows"
    assert [tuple(r) for r in federation.hospital.rows(follow)] == [
        tuple(r) for r in federation.society.rows(follow)
    ]


def test_a_member_who_is_not_verified_can_neither_read_nor_write(federation: Federation) -> None:
    ida = federation.society.as_member("unverified_ida")
    for method, path in [
        ("GET", "/v1/timelines/public"), ("GET", "/v1/timelines/home"),
        ("GET", "/v1/notifications"), ("POST", "/v1/statuses"),
    ]:  # fmt: skip
        assert ida.try_(method, path, **({"status": "x"} if method == "POST" else {})).status == 403
    with pytest.raises(CommandFailed, match="verified"):
        federation.society.command(
            "follow", "unverified_ida", f"@osler@{federation.hospital.domain}"
        )
    text = federation.folder / "quack.txt"
    text.write_text(_STORY)
    with pytest.raises(CommandFailed, match="verified"):
        federation.society.command(
            "case", "open", "unverified_ida", "--title", "Mine", "--text", str(text),
            "--audience", "public",
        )  # fmt: skip


def test_an_author_without_a_credential_is_refused(federation: Federation) -> None:
    """A server that is allowed, and whose signature is right, but whose author shows nothing."""
    hospital = federation.hospital
    before = hospital.stats()["posts"]
    member = f"{hospital.url}/users/osler"
    with simulated_peer("127.0.0.4") as peer:
        domain = f"127.0.0.4:{peer.port}"
        hospital.command("peer", "allow", domain)
        watch(lambda: _post(peer, f"{member}/inbox", member).status == 202)
        effect = watch(
            lambda: hospital.value(
                "SELECT MAX(effect) FROM inbox WHERE host = ? AND state = 'done'", domain
            )
        )
        # The server hears of it by itself.
        hospital.command("peer", "block", domain)
        watch(lambda: _post(peer, f"{member}/inbox", member).status == 403)
    assert effect.startswith("refused: ")
    assert "verified" in effect or "credential" in effect
    assert hospital.stats()["posts"] == before
    assert federation.osler.get("/v1/notifications", **{"types[]": "mention"}) == []


def test_a_server_that_is_not_allowed_hears_and_reads_nothing(federation: Federation) -> None:
    hospital, stranger = federation.hospital, federation.stranger
    open_before = hospital.value("SELECT COUNT(*) FROM inbox")
    case = federation.open_case("For all connected servers", "public")
    federation.settle()
    assert "For all connected servers" in federation.curie.cases()
    # It hears nothing.
    assert stranger.value("SELECT COUNT(*) FROM inbox") == 0
    assert stranger.value("SELECT COUNT(*) FROM posts") == 0
    asked = hospital.value("SELECT COUNT(*) FROM deliveries WHERE host = ?", stranger.domain)
    assert asked == 0
    # It reads nothing, although it signs as it should.
    user = f"{hospital.url}/users/osler"
    signed = [case, f"{case}/context", f"{user}/outbox", f"{user}/followers", f"{user}/following"]
    for url in signed:
        refused = _signed_get(stranger, url)
        assert refused.status in (401, 403, 404), url
        assert b"chest" not in refused.body.lower()
    assert _signed_get(stranger, user).status in (401, 403)
    # An invented address gets the very same answer as the case does.
    invented = _signed_get(stranger, f"{hospital.url}/objects/01zzzzzzzzzzzzzzzzzzzzzzzz")
    assert (invented.status, invented.body) == (refused.status, _signed_get(stranger, case).body)
    # The society's signature opens the same address.
    read = _signed_get(federation.society, case)
    assert read.status == 200
    assert read.json["name"] == "For all connected servers"
    # Nobody is heard.
    with pytest.raises(CommandFailed):
        stranger.command("follow", "mallory", f"@osler@{hospital.domain}")
    with simulated_peer("127.0.0.5") as peer:
        assert _post(peer, f"{hospital.url}/inbox", user).status in (401, 403)
        assert sum(peer.posted.values()) == 0
    assert hospital.value("SELECT COUNT(*) FROM inbox") == open_before
    assert hospital.value("SELECT COUNT(*) FROM actors WHERE host = ?", stranger.domain) == 0


def test_without_a_signature_nothing_clinical_is_told(federation: Federation) -> None:
    hospital = federation.hospital
    case = federation.open_case("Seen by nobody outside", "public")
    accept = {"Accept": "application/activity+json"}
    for url in (case, f"{case}/context", f"{hospital.url}/users/osler/outbox"):
        answer = ask("GET", url, accept)
        assert answer.status in (401, 403, 404)
        assert b"Seen by" not in answer.body
    stub = ask("GET", f"{hospital.url}/users/osler", accept)
    assert stub.status == 200
    assert not {"name", "summary", "credential"} & set(stub.json)
    assert ask("GET", f"{hospital.url}/api/v1/timelines/public").status == 401


# The outside world ------------------------------------------------------------------------------


def _signed_get(site: Site, url: str) -> Answer:
    """GET as that instance would: with the signature of its instance actor."""

    async def sign(rooms: Rooms) -> dict[str, str]:
        vault = Vault.from_text(rooms.config.secrets.key)
        signer = await InstanceSigner.load(rooms.db, vault, rooms.urls, Clock())
        return signer("GET", url)

    headers = site.with_rooms(sign)
    return ask("GET", url, {**headers, "Accept": "application/activity+json"})


def _post(peer: SimulatedPeer, inbox: str, to: str) -> Answer:
    (host,) = peer.hosts
    actor = peer.actor(host)
    note = f"http://{host}:{peer.port}/notes/1"
    body = json.dumps(
        {
            "@context": "https://www.w3.org/ns/activitystreams",
            "id": f"{note}/activity",
            "type": "Create",
            "actor": actor,
            "to": [to],
            "object": {
                "id": note,
                "type": "Note",
                "attributedTo": actor,
                "content": "<p>I have cured this with magnets.</p>",
                "published": "2026-01-01T00:00:00Z",
                "to": [to],
                "tag": [{"type": "Mention", "href": to, "name": "@osler"}],
            },
        }
    ).encode()
    headers = {"Content-Type": "application/activity+json", **peer.headers(host, inbox, body)}
    return ask("POST", inbox, headers, body)
