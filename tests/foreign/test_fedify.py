"""fedidoc and a real Fedify server: follow both ways, case, answer, edit, delete, like, forgery.

Fedify checks signature, digest and date before it lets an activity through, so what it received is
what a strict peer accepts. Every test runs twice: once with Fedify signing draft-cavage, once with
it signing RFC 9421.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.foreign.conftest import FedifyPeer
from tests.instance import Instance, until

pytestmark = pytest.mark.foreign

_STORY = "A man in his sixties has had chest pressure for three hours. What would you do first?"


@pytest.fixture
def ready(instance: Instance, fedify_peer: FedifyPeer) -> Instance:
    """A running instance with one verified physician that federates with the Fedify peer."""
    instance.member("osler")
    instance.command("peer", "allow", fedify_peer.domain, "--no-require-credential")
    return instance.start()


def _open_case(instance: Instance, folder: Path, audience: str = "followers") -> str:
    text = folder / "case.txt"
    text.write_text(_STORY)
    opened = instance.command(
        "case", "open", "osler", "--title", "Chest pressure after exertion",
        "--text", str(text), "--audience", audience,
    )[0]  # fmt: skip
    address: str = opened["object"]
    return address


def test_fedify_follows_and_receives_a_case(
    ready: Instance, fedify_peer: FedifyPeer, tmp_path: Path
) -> None:
    fedify_peer("follow", actor=f"{ready.url}/users/osler")
    accepted = until(lambda: fedify_peer.received("Accept"))
    assert accepted[0]["actor"] == f"{ready.url}/users/osler"
    case = _open_case(ready, tmp_path)
    created = until(lambda: fedify_peer.received("Create"))[0]
    note = created["object"]
    assert note["id"] == case
    assert note["type"] == "Note"
    assert "chest pressure for three hours" in note["content"]
    assert note["attributedTo"] == f"{ready.url}/users/osler"


def test_fedify_answers_edits_likes_and_deletes(
    ready: Instance, fedify_peer: FedifyPeer, tmp_path: Path
) -> None:
    author = f"{ready.url}/users/osler"
    fedify_peer("follow", actor=author)
    until(lambda: fedify_peer.received("Accept"))
    case = _open_case(ready, tmp_path)
    until(lambda: fedify_peer.received("Create"))
    before = ready.stats()["posts"]
    answer = fedify_peer(
        "post", content="<p>An ECG within ten minutes.</p>", to=[author], inReplyTo=case,
        recipient=author,
    )["id"]  # fmt: skip
    until(lambda: ready.stats()["posts"] == before + 1)
    fedify_peer("like", object=case, recipient=author)
    fedify_peer("edit", id=answer, content="<p>An ECG, then troponin.</p>", recipient=author)
    fedify_peer("delete", id=answer, recipient=author)
    until(lambda: ready.stats()["posts"] == before)
    assert ready.queue()["inbox"]["dead"] == 0


def test_a_member_follows_a_fedify_actor(ready: Instance, fedify_peer: FedifyPeer) -> None:
    ready.command("follow", "osler", fedify_peer.actor)
    follow = until(lambda: fedify_peer.received("Follow"))[0]
    assert follow["actor"] == f"{ready.url}/users/osler"
    assert follow["object"] == fedify_peer.actor
    before = ready.stats()["posts"]
    fedify_peer("post", content="<p>Grand rounds are at noon.</p>", recipient=follow["actor"])
    until(lambda: ready.stats()["posts"] == before + 1)


def test_unfollowed_means_no_more_cases(
    ready: Instance, fedify_peer: FedifyPeer, tmp_path: Path
) -> None:
    author = f"{ready.url}/users/osler"
    follow = fedify_peer("follow", actor=author)["id"]
    until(lambda: fedify_peer.received("Accept"))
    fedify_peer("unfollow", id=follow, actor=author)
    until(lambda: ready.queue()["inbox"]["done"] == 2)
    _open_case(ready, tmp_path)
    until(lambda: ready.queue()["delivery"]["waiting"] == 0)
    assert fedify_peer.received("Create") == []


def test_a_server_that_is_not_allowed_is_not_heard(
    instance: Instance, fedify_peer: FedifyPeer
) -> None:
    instance.member("osler")
    instance.start()
    with pytest.raises(AssertionError):
        fedify_peer("follow", actor=f"{instance.url}/users/osler")
    assert instance.queue()["inbox"] == {"waiting": 0, "done": 0, "dead": 0}
    assert fedify_peer.received("Accept") == []
