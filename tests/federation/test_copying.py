"""Pictures come along, clean, and only for those who may read their post."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import Any

import pytest
from PIL import Image

from fedidoc.errors import NotFound
from fedidoc.model import Audience, Post
from fedidoc.storage import cases, queues
from tests.federation.pair import DRAFT, Pair


def png(colour: str = "navy") -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (40, 30), colour).save(out, "PNG")
    return out.getvalue()


async def send_picture(pair: Pair, audience: Audience = Audience.VERIFIED) -> tuple[Post, Post]:
    """A case with a picture, as it is here and as it arrived there."""
    media = await pair.hospital.pictures.put(pair.ada, png(), "")
    draft = replace(DRAFT, media=((media.id, "Parasternal view"),), audience=audience)
    here = await pair.hospital.cases.open_case(pair.ada, draft)
    await pair.network.settle()
    there = await cases.by_uri(pair.society.db, here.uri)
    assert there is not None
    return await current(pair, here), there


async def current(pair: Pair, post: Post) -> Post:
    found = await cases.get(pair.hospital.db, post.id)
    assert found is not None
    return found


async def test_a_picture_is_copied_with_its_words(pair: Pair) -> None:
    _, there = await send_picture(pair)
    (picture,) = there.media
    assert (picture.alt, picture.width, picture.height) == ("Parasternal view", 40, 30)
    assert picture.file is not None
    data, media_type = await pair.society.pictures.open(pair.bob, picture.file)
    assert media_type == "image/png"
    assert Image.open(io.BytesIO(data)).size == (40, 30)


async def test_a_stranger_gets_no_picture(pair: Pair) -> None:
    here, there = await send_picture(pair)
    stranger = await pair.network.instance("stranger")
    path = f"/media/{here.media[0].file}"
    assert (await stranger.ask(pair.hospital, path))[0] == 403
    await pair.hospital.trust.allow(stranger.domain, require_credential=False, by="test")
    assert (await stranger.ask(pair.hospital, path))[0] == 404
    status, headers, body = await pair.society.ask(pair.hospital, path)
    assert (status, headers["Content-Type"], body[:4]) == (200, "image/png", b"\x89PNG")
    assert (await pair.society.ask(pair.hospital, "/media/..%2Fconfig.toml"))[0] == 404
    # A copy is not given on: its own server decides who reads it.
    assert there.media[0].file is not None
    assert (await pair.hospital.ask(pair.society, f"/media/{there.media[0].file}"))[0] == 404


async def test_a_deleted_case_takes_its_picture_along(pair: Pair) -> None:
    here, there = await send_picture(pair)
    await pair.hospital.cases.delete(pair.ada, here.id)
    assert (await pair.society.ask(pair.hospital, f"/media/{here.media[0].file}"))[0] == 404
    await pair.network.settle()
    with pytest.raises(NotFound):
        await pair.society.pictures.open(pair.bob, str(there.media[0].file))


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://127.0.0.1:1/x.png", "peer_not_allowed"),
        ("http://169.254.169.254/latest", "peer_not_allowed"),
        ("{base}/actor", "wrong_media_type"),
        ("{base}/media/nothing.png", "status_404"),
    ],
)
async def test_what_is_no_picture_of_a_peer_is_left_out(pair: Pair, url: str, reason: str) -> None:
    _, there = await send_picture(pair)
    url = url.format(base=pair.hospital.urls.base)
    async with pair.society.db.transaction() as tx:
        await tx.execute(
            "UPDATE media SET file = NULL, remote_url = ? WHERE id = ?", (url, there.media[0].id)
        )
        await queues.put_task(tx, "picture", there.media[0].id, {}, 0)
    await pair.society.runner.drain()
    row: Any = await pair.society.db.fetch_one(
        "SELECT state, last_error FROM tasks WHERE kind = 'picture'"
    )
    assert (row["state"], row["last_error"]) == ("dead", reason)
