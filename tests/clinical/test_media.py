"""Pictures: only pixels stay, only readers get them, nothing is left lying about."""

from __future__ import annotations

import io
import os
import struct
import time
import zlib
from pathlib import Path

import pytest
from PIL import Image, PngImagePlugin

from fedidoc.clinical.media import MAX_SIDE, clean
from fedidoc.clock import DAY
from fedidoc.errors import BadInput, NotFound
from fedidoc.model import Audience, Media
from tests.clinical.clinic import Clinic, draft, remote


def picture(kind: str = "PNG", size: tuple[int, int] = (40, 20), **options: object) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", size, (200, 30, 30)).save(out, kind, **options)  # type: ignore[arg-type]
    return out.getvalue()


def with_metadata(kind: str) -> bytes:
    """A picture that says SECRET in every place its format has for words."""
    exif = Image.Exif()
    exif[0x010E] = "SECRET description"
    exif[0x0112] = 6  # lying on its side
    exif.get_ifd(0x8825)[1] = "N"
    options: dict[str, object] = {"exif": exif, "icc_profile": b"SECRET profile" * 20}
    if kind == "PNG":
        info = PngImagePlugin.PngInfo()
        info.add_text("Comment", "SECRET comment")
        info.add_itxt("XML:com.adobe.xmp", "<x>SECRET</x>")
        options["pnginfo"] = info
    elif kind == "JPEG":
        options["comment"] = b"SECRET comment"
        options["xmp"] = b"<x>SECRET</x>"
    else:
        options["xmp"] = b"<x>SECRET</x>"
    return picture(kind, **options) + b"SECRET trailing data"


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_nothing_but_pixels_is_left(kind: str) -> None:
    dirty = with_metadata(kind)
    assert b"SECRET" in dirty
    cleaned = clean(dirty)
    assert b"SECRET" not in cleaned.data
    again = Image.open(io.BytesIO(cleaned.data))
    assert again.format == kind
    assert not again.getexif()
    assert not set(again.info) - {"jfif", "jfif_version", "jfif_unit", "jfif_density", "loop",
                                  "background", "timestamp", "duration"}  # fmt: skip
    assert (cleaned.width, cleaned.height) == again.size == (20, 40)  # set upright


def test_one_frame_of_an_animation_is_left() -> None:
    frames = [Image.new("RGB", (9, 9), colour) for colour in ("red", "green", "blue")]
    out = io.BytesIO()
    frames[0].save(out, "WEBP", save_all=True, append_images=frames[1:], lossless=True)
    again = Image.open(io.BytesIO(clean(out.getvalue()).data))
    assert getattr(again, "n_frames", 1) == 1


def test_transparency_is_kept() -> None:
    out = io.BytesIO()
    Image.new("RGBA", (4, 4), (9, 9, 9, 0)).save(out, "PNG")
    again = Image.open(io.BytesIO(clean(out.getvalue()).data))
    assert again.mode == "RGBA"
    assert again.getpixel((0, 0)) == (9, 9, 9, 0)


def test_a_large_picture_is_made_smaller() -> None:
    cleaned = clean(picture(size=(MAX_SIDE + 500, 10)))
    assert cleaned.width == MAX_SIDE


def _bomb() -> bytes:
    """A PNG that says it has 60,000 × 60,000 pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    head = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    data = zlib.compress(b"\0" * 1_000_000)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("data", "word"),
    [
        (b"\0" * 128 + b"DICM" + b"\0" * 100, "DICOM"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'></svg>", "SVG"),
        (b"\xef\xbb\xbf  <?xml version='1.0'?><svg/>", "SVG"),
        (b"<!-- x --><svg/>", "SVG"),
        (picture("GIF"), "PNG, JPEG or WebP"),
        (picture("BMP"), "PNG, JPEG or WebP"),
        (picture("TIFF"), "PNG, JPEG or WebP"),
        (b"", "PNG, JPEG or WebP"),
        (b"%PDF-1.7", "PNG, JPEG or WebP"),
        (b"<html><script>", "PNG, JPEG or WebP"),
        (picture()[:60], "damaged"),
        (picture("JPEG")[:200], "damaged"),
        (_bomb(), ""),
        (picture(size=(8_000, 5_001)), "pixels"),
    ],
)
def test_what_is_no_picture_is_refused_with_a_reason(data: bytes, word: str) -> None:
    started = time.process_time()
    with pytest.raises(BadInput) as caught:
        clean(data)
    assert word in str(caught.value)
    assert time.process_time() - started < 2


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_damaged_files_never_end_in_another_error(kind: str) -> None:
    whole = with_metadata(kind)
    for place in range(0, len(whole), max(1, len(whole) // 150)):
        broken = bytearray(whole)
        broken[place] ^= 0xFF
        for data in (bytes(broken), bytes(broken[: place + 1])):
            try:
                clean(data)
            except BadInput:
                pass


async def test_a_picture_waits_for_its_case_and_goes_with_it(clinic: Clinic) -> None:
    ada, bob = await clinic.member("ada"), await clinic.member("bob")
    media = await clinic.media.put(ada, picture(), "A film")
    assert media.file is not None
    assert media.file.endswith(".png")
    assert (await clinic.media.open(ada, media.file))[1] == "image/png"
    with pytest.raises(NotFound):
        await clinic.media.open(bob, media.file)
    assert await clinic.media.unpublished(bob, [media.id]) == []
    assert await clinic.media.unpublished(ada, [media.id, "x"]) == [media]
    post = await clinic.cases.open_case(ada, draft(media=((media.id, "Chest film"),)))
    assert post.sensitive
    assert [m.alt for m in post.media] == ["Chest film"]
    data, _ = await clinic.media.open(bob, media.file)
    assert Image.open(io.BytesIO(data)).size == (40, 20)
    # Another case cannot take it away.
    with pytest.raises(BadInput) as caught:
        await clinic.cases.open_case(ada, draft(media=((media.id, "x"),)))
    assert caught.value.field == f"alt-{media.id}"
    assert len((await clinic.cases.timeline(ada, None, "all")).items) == 1
    await clinic.cases.delete(ada, post.id)
    assert not list(clinic.folder.iterdir())
    with pytest.raises(NotFound):
        await clinic.media.open(ada, media.file)


async def test_nobody_publishes_somebody_elses_picture(clinic: Clinic) -> None:
    ada, bob = await clinic.member("ada"), await clinic.member("bob")
    media = await clinic.media.put(ada, picture())
    with pytest.raises(BadInput):
        await clinic.cases.open_case(bob, draft(media=((media.id, "x"),)))
    assert await clinic.db.fetch_value("SELECT post_id FROM media") is None


async def test_pictures_are_read_by_readers_of_their_case(clinic: Clinic) -> None:
    ada, bob = await clinic.member("ada"), await clinic.member("bob")
    media = await clinic.media.put(ada, picture())
    await clinic.cases.open_case(ada, draft(media=((media.id, "x"),), audience=Audience.FOLLOWERS))
    assert media.file is not None
    with pytest.raises(NotFound):
        await clinic.media.open(bob, media.file)
    await clinic.follows.follow(bob, await clinic.actor(ada))
    assert (await clinic.media.open(bob, media.file))[1] == "image/png"


async def test_an_edit_takes_pictures_in_and_out(clinic: Clinic) -> None:
    ada = await clinic.member("ada")
    one, two = [await clinic.media.put(ada, picture()) for _ in range(2)]
    post = await clinic.cases.open_case(ada, draft(media=((one.id, "One"),)))
    edited = await clinic.cases.edit_case(ada, post.id, draft(media=((two.id, "Two"),)))
    assert [m.id for m in edited.media] == [two.id]
    assert [p.name for p in clinic.folder.iterdir()] == [two.file]
    both = ((two.id, "Two again"),)
    edited = await clinic.cases.edit_case(ada, post.id, draft(media=both))
    assert [m.alt for m in edited.media] == ["Two again"]


async def test_a_description_that_the_guard_holds_back_is_not_kept(clinic: Clinic) -> None:
    ada = await clinic.member("ada")
    media = await clinic.media.put(ada, picture(), "MRN 123456")
    assert media.alt == ""
    assert await clinic.db.fetch_value("SELECT alt FROM media") == ""


async def test_too_many_bytes(clinic: Clinic) -> None:
    ada = await clinic.member("ada")
    with pytest.raises(BadInput) as caught:
        await clinic.media.put(ada, picture() + b"\0" * clinic.media.max_bytes)
    assert caught.value.field == "picture"
    assert not clinic.folder.exists()


async def test_a_remote_picture_is_cleaned_and_kept(clinic: Clinic) -> None:
    ada, bob, ben = (
        await clinic.member("ada"),
        await clinic.member("bob"),
        await clinic.colleague("b"),
    )
    url = "https://society.example/m/1.png"
    media = Media("m1", "A film", "image/png", 0, 0, None, url)
    note = remote(ben, "n", media=(media,), audience=Audience.DIRECT, recipients=(ada.actor_id,))
    await clinic.receive(note)
    assert await clinic.media.missing("m1") == url
    assert await clinic.media.missing("m2") is None
    await clinic.media.keep("m1", with_metadata("PNG"))
    assert await clinic.media.missing("m1") is None
    post = await clinic.db.fetch_value("SELECT id FROM posts")
    kept = (await clinic.cases.get(ada, post)).media[0]
    assert (kept.width, kept.height, kept.remote_url) == (20, 40, url)
    assert kept.file is not None
    data, media_type = await clinic.media.open(ada, kept.file)
    assert (b"SECRET" not in data, media_type) == (True, "image/png")
    with pytest.raises(NotFound):
        await clinic.media.open(bob, kept.file)
    await clinic.media.keep("m1", picture())
    assert [p.name for p in clinic.folder.iterdir()] == [kept.file]


async def test_what_a_server_calls_a_picture_is_looked_at(clinic: Clinic) -> None:
    ben = await clinic.colleague("ben")
    media = Media("m1", "", "image/png", 0, 0, None, "https://society.example/m/1.png")
    await clinic.receive(remote(ben, "n", media=(media,)))
    with pytest.raises(BadInput):
        await clinic.media.keep("m1", b"<svg onload=x></svg>")
    assert not clinic.folder.exists()


@pytest.mark.parametrize(
    "file", ["../fedidoc.db", "..", "a/b.png", ".new-x", "x", "x.svg", "%2e.png", "é.png", ""]
)
async def test_no_file_name_leads_out_of_the_folder(clinic: Clinic, file: str) -> None:
    ada = await clinic.member("ada")
    clinic.folder.mkdir()
    (clinic.folder / "x").write_bytes(b"x")
    with pytest.raises(NotFound):
        await clinic.media.open(ada, file)
    with pytest.raises(NotFound):
        await clinic.media.read(file)


async def test_what_is_left_lying_is_swept_away(clinic: Clinic) -> None:
    ada = await clinic.member("ada")
    loose, used = [await clinic.media.put(ada, picture()) for _ in range(2)]
    await clinic.cases.open_case(ada, draft(media=((used.id, "x"),)))
    stray = clinic.folder / "stray.png"
    stray.write_bytes(b"x")
    fresh = clinic.folder / "fresh.png"
    assert await clinic.media.sweep() == 0
    clinic.clock.advance(3 * DAY)
    for path in clinic.folder.iterdir():
        _touch(path, clinic.clock.now() - 2 * DAY)
    fresh.write_bytes(b"x")
    _touch(fresh, clinic.clock.now())
    assert await clinic.media.sweep() == 2
    assert {p.name for p in clinic.folder.iterdir()} == {used.file, "fresh.png"}
    assert await clinic.media.unpublished(ada, [loose.id]) == []


def _touch(path: Path, at: int) -> None:
    os.utime(path, (at / 1000, at / 1000))
