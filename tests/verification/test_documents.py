"""Documents: what is taken, who sees it, how it lies on the disk, and how it goes."""

from __future__ import annotations

import asyncio
import io
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, PngImagePlugin

from fedidoc.clinical.media import clean
from fedidoc.clock import DAY, HOUR
from fedidoc.config import EvidenceRules
from fedidoc.errors import BadInput, Conflict, FedidocError, NotFound
from fedidoc.model import Account, Role
from fedidoc.storage.documents import Decision
from fedidoc.verification.documents import MOST, Documents, Fate, fate, sniff
from fedidoc.verification.evidence import EvidenceKind
from fedidoc.verification.policy import Policy
from tests.house import House, claim

PDF = b"%PDF-1.7\n1 0 obj <</Type/Catalog>> endobj\nSECRET-OF-ANNA\ntrailer <<>>\n%%EOF\n"


def picture(kind: str = "PNG", size: tuple[int, int] = (40, 30)) -> bytes:
    made = Image.new("RGB", size, "white")
    out = io.BytesIO()
    if kind == "PNG":
        info = PngImagePlugin.PngInfo()
        info.add_text("Comment", "SECRET-OF-ANNA")
        made.save(out, kind, pnginfo=info)
    else:
        exif = Image.Exif()
        exif[0x010E] = "SECRET-OF-ANNA"
        made.save(out, kind, exif=exif)
    return out.getvalue()


def room(house: House, folder: Path, **changes: Any) -> Documents:
    rules = replace(EvidenceRules(), **changes)
    return house.documents(replace(house.config, folder=folder, evidence=rules), clean)


def files(folder: Path) -> list[Path]:
    return sorted((folder / "documents").iterdir()) if (folder / "documents").exists() else []


async def apply(house: House, account: Account) -> str:
    return await house.review.apply(await house.accounts.show(account.username), claim())


# What is taken ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "media_type"),
    [(PDF, "application/pdf"), (picture("PNG"), "image/png"), (picture("JPEG"), "image/jpeg")],
    ids=["pdf", "png", "jpeg"],
)
def test_the_bytes_say_what_a_document_is(data: bytes, media_type: str) -> None:
    assert sniff(data) == media_type


NOT_TAKEN = {
    "html": b"<!doctype html><script>alert(1)</script>",
    "html-before-pdf": b"<html>" + PDF,
    "blank-before-pdf": b"\n" + PDF,
    "zip-before-pdf": b"PK\x03\x04" + PDF,
    "pdf-without-end": PDF.replace(b"%%EOF", b""),
    "pdf-end-far-away": PDF + b"x" * 2000,
    "pdf-mark-alone": b"%PDF-",
    "svg": b"<svg xmlns='http://www.w3.org/2000/svg'/>",
    "zip": b"PK\x03\x04" + b"\0" * 100,
    "docx": b"PK\x03\x04[Content_Types].xml",
    "exe": b"MZ" + b"\0" * 100,
    "gif": b"GIF89a" + b"\0" * 100,
    "webp": b"RIFF\0\0\0\0WEBPVP8 ",
    "text": b"hello",
}


@pytest.mark.parametrize("data", NOT_TAKEN.values(), ids=NOT_TAKEN.keys())
async def test_all_else_is_refused(house: House, tmp_path: Path, data: bytes) -> None:
    anna = await house.sign_up()
    with pytest.raises(BadInput) as found:
        await room(house, tmp_path).put(anna, "a.pdf", data)
    assert found.value.field == "document"
    assert files(tmp_path) == []


BROKEN = {
    "empty": b"",
    "png-cut": picture()[:40],
    "png-head": b"\x89PNG\r\n\x1a\n" + b"\0" * 50,
    "jpeg-head": b"\xff\xd8\xff" + os.urandom(0) + b"\0" * 50,
    "jpeg-then-html": b"\xff\xd8\xff<script>alert(1)</script>",
}


@pytest.mark.parametrize("data", BROKEN.values(), ids=BROKEN.keys())
async def test_damaged_pictures_are_refused(house: House, tmp_path: Path, data: bytes) -> None:
    anna = await house.sign_up()
    with pytest.raises(BadInput) as found:
        await room(house, tmp_path).put(anna, "a.png", data)
    assert found.value.field == "document"


async def test_a_picture_of_too_many_pixels_is_not_decoded(house: House, tmp_path: Path) -> None:
    out = io.BytesIO()
    Image.new("1", (7_000, 7_000)).save(out, "PNG")
    assert len(out.getvalue()) < 1_000_000
    with pytest.raises(BadInput, match="pixels"):
        await room(house, tmp_path).put(await house.sign_up(), "bomb.png", out.getvalue())


async def test_size_and_number_have_bounds(any_house: House, tmp_path: Path) -> None:
    house = any_house
    anna, rooms = await house.sign_up(), room(house, tmp_path, document_max_bytes=2_000)
    with pytest.raises(BadInput, match="at most"):
        await rooms.put(anna, "a.pdf", PDF[:-6] + b" " * 2_000 + b"%%EOF\n")
    results = await asyncio.gather(
        *(rooms.put(anna, f"{n}.pdf", PDF) for n in range(MOST + 4)), return_exceptions=True
    )
    assert sum(isinstance(r, BadInput) for r in results) == 4
    assert len(await rooms.of_member(anna)) == MOST
    assert len(files(tmp_path)) == MOST, "a refused file was left behind"


async def test_staff_and_the_verified_upload_nothing(house: House, tmp_path: Path) -> None:
    rooms = room(house, tmp_path)
    for account in (await house.admin(), await house.verified()):
        with pytest.raises(Conflict):
            await rooms.put(account, "a.pdf", PDF)
    assert files(tmp_path) == []


# On the disk --------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["pdf", "PNG", "JPEG"])
async def test_nothing_of_it_is_readable_at_rest(house: House, tmp_path: Path, kind: str) -> None:
    anna, rita, rooms = await house.sign_up(), await house.admin(), room(house, tmp_path)
    data = PDF if kind == "pdf" else picture(kind)
    await rooms.put(anna, "Approbation Anna Lind.pdf", data)
    [file] = files(tmp_path)
    assert file.stat().st_mode & 0o077 == 0
    assert file.parent.stat().st_mode & 0o077 == 0
    assert "." not in file.name and "anna" not in file.name.lower()
    stored = file.read_bytes()
    for secret in (b"SECRET-OF-ANNA", b"%PDF", b"PNG", b"JFIF"):
        assert secret not in stored
    assert "Approbation" not in await house.everything_stored()
    [document] = await rooms.of_member(anna)
    assert document.name == "Approbation Anna Lind.pdf"
    opened = await rooms.open(await apply(house, anna), document.id, by=rita)
    if kind == "pdf":
        assert opened.data == PDF
    else:
        assert b"SECRET-OF-ANNA" not in opened.data, "the picture kept its metadata"
        Image.open(io.BytesIO(opened.data)).load()


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\anna\\licence.pdf", "licence.pdf"),
        ("a\r\nSet-Cookie: x=1.pdf", "aSet-Cookie: x=1.pdf"),
        ("", "document"),
        ("/", "document"),
        ("\u202egpj.exe", "gpj.exe"),
        ("x" * 500, "x" * 120),
        ("<script>.pdf", "<script>.pdf"),
    ],
)
async def test_a_files_name_is_words_and_nothing_else(
    house: House, tmp_path: Path, given: str, shown: str
) -> None:
    anna, rita, rooms = await house.sign_up(), await house.admin(), room(house, tmp_path)
    await rooms.put(anna, given, PDF)
    [document] = await rooms.of_member(anna)
    assert document.name == shown
    opened = await rooms.open(await apply(house, anna), document.id, by=rita)
    assert opened.file_name == f"document-{document.id[:6]}.pdf"
    assert len(files(tmp_path)) == 1 and not (tmp_path / "etc").exists()


@pytest.mark.parametrize("where", [0, 5, 20, -1])
async def test_a_changed_file_does_not_open(house: House, tmp_path: Path, where: int) -> None:
    anna, rita, rooms = await house.sign_up(), await house.admin(), room(house, tmp_path)
    await rooms.put(anna, "a.pdf", PDF)
    [file] = files(tmp_path)
    data = bytearray(file.read_bytes())
    data[where] ^= 1
    file.write_bytes(data)
    [document] = await rooms.of_member(anna)
    with pytest.raises(NotFound, match="changed"):
        await rooms.open(await apply(house, anna), document.id, by=rita)


async def test_one_documents_file_does_not_open_as_anothers(house: House, tmp_path: Path) -> None:
    """Not even with its key: the document's id is bound into it."""
    anna, rita, rooms = await house.sign_up(), await house.admin(), room(house, tmp_path)
    await rooms.put(anna, "a.pdf", PDF)
    await rooms.put(anna, "b.pdf", PDF.replace(b"SECRET", b"OTHERS"))
    first, second = await rooms.of_member(anna)
    async with house.db.transaction() as tx:
        await tx.execute(
            "UPDATE documents SET file = 'x', key_sealed = (SELECT key_sealed FROM documents"
            " WHERE id = ?) WHERE id = ?",
            (second.id, first.id),
        )
    with pytest.raises(FedidocError):
        await rooms.open(await apply(house, anna), first.id, by=rita)


# Who sees it --------------------------------------------------------------------------------------


async def test_reviewers_see_it_and_each_look_is_recorded(any_house: House, tmp_path: Path) -> None:
    house = any_house
    anna, rita, rooms = await house.sign_up(), await house.admin(), room(house, tmp_path)
    application = await apply(house, anna)
    await rooms.put(anna, "a.pdf", PDF)
    [document] = await rooms.of_application(application, by=rita)
    assert not document.viewed
    for _ in range(2):
        assert (await rooms.open(application, document.id, by=rita)).data == PDF
    log = [row for row in await house.audit() if row[1] == "document_viewed"]
    assert log == [(rita.id, "document_viewed", document.id)] * 2
    [document] = await rooms.of_application(application, by=rita)
    assert document.viewed


async def test_nobody_else_learns_that_it_is_there(house: House, tmp_path: Path) -> None:
    anna, eve, rooms = await house.sign_up(), await house.sign_up("eve"), room(house, tmp_path)
    rita, dora = await house.admin(), await house.verified("dora")
    application, of_eve = await apply(house, anna), await house.review.apply(eve, claim(npi=""
        , jurisdiction="DE"))  # fmt: skip
    await rooms.put(anna, "a.pdf", PDF)
    [document] = await rooms.of_member(anna)
    for by in (anna, eve, dora):
        for act in (
            rooms.of_application(application, by=by),
            rooms.open(application, document.id, by=by),
            rooms.attest(application, document.id, "I saw it", by=by),
        ):
            with pytest.raises(NotFound) as found:
                await act
            assert found.value.text == NotFound().text
    # A reviewer, but through another application or with another id.
    for other, id in ((of_eve, document.id), ("nope", document.id), (application, "nope")):
        with pytest.raises(NotFound):
            await rooms.open(other, id, by=rita)
        with pytest.raises(NotFound):
            await rooms.attest(other, id, "I saw it", by=rita)
    with pytest.raises(NotFound):
        await rooms.delete(eve, document.id)
    assert len(files(tmp_path)) == 1
    assert "document_viewed" not in {action for _, action, _ in await house.audit()}


async def test_a_session_older_than_a_demotion_sees_nothing(house: House, tmp_path: Path) -> None:
    anna, rita, rooms = await house.sign_up(), await house.admin(), room(house, tmp_path)
    application = await apply(house, anna)
    await rooms.put(anna, "a.pdf", PDF)
    [document] = await rooms.of_application(application, by=rita)
    await house.accounts.suspend("rita", reason="left", by="operator")
    with pytest.raises(NotFound):
        await rooms.open(application, document.id, by=rita)


async def test_nobody_attests_their_own(house: House, tmp_path: Path) -> None:
    ida, _ = await house.accounts.add_member(
        "ida", "ida@mail.example", "Ida", Role.PHYSICIAN, None, admin=True, by="operator"
    )
    rooms, application = room(house, tmp_path), await house.review.apply(ida, claim())
    await rooms.put(ida, "a.pdf", PDF)
    [document] = await rooms.of_member(ida)
    for act in (
        rooms.of_application(application, by=ida),
        rooms.open(application, document.id, by=ida),
        rooms.attest(application, document.id, "It is mine", by=ida),
    ):
        with pytest.raises(NotFound):
            await act


async def test_what_a_reviewer_saw_is_evidence(house: House, tmp_path: Path) -> None:
    anna, rita, rooms = await house.sign_up(), await house.admin(), room(house, tmp_path)
    application = await apply(house, anna)
    await rooms.put(anna, "a.pdf", PDF)
    [document] = await rooms.of_member(anna)
    with pytest.raises(Conflict, match="Open"):
        await rooms.attest(application, document.id, "Licence of New York", by=rita)
    await rooms.open(application, document.id, by=rita)
    with pytest.raises(BadInput):
        await rooms.attest(application, document.id, " ", by=rita)
    await rooms.attest(application, document.id, "Licence of New York", by=rita)
    [evidence] = await house.review.records.held(house.db, anna.id)
    assert (evidence.kind, evidence.detail, evidence.recorded_by) == (
        EvidenceKind.DOCUMENT, "Licence of New York", rita.id,
    )  # fmt: skip
    # A document alone verifies nobody.
    assert not (await house.accounts.show("anna")).verified


# How it goes --------------------------------------------------------------------------------------

D = DAY
CASES: dict[str, tuple[list[Decision], Fate]] = {
    "never-applied": ([], Fate(False, 100 * D + 14 * D)),
    "waiting": ([Decision("applied", None)], Fate(False, None)),
    "asked": ([Decision("asked", 120 * D)], Fate(False, 210 * D)),
    "asked-before": ([Decision("asked", 90 * D)], Fate(False, 190 * D)),
    "approved": ([Decision("approved", 110 * D)], Fate(True, 140 * D)),
    "refused": ([Decision("refused", 110 * D)], Fate(True, 140 * D)),
    "withdrawn": ([Decision("withdrawn", 110 * D)], Fate(False, 110 * D)),
    "decided-before": ([Decision("refused", 90 * D)], Fate(False, 114 * D)),
    "applied-again": (
        [Decision("refused", 110 * D), Decision("applied", None)],
        Fate(True, 140 * D),
    ),
    "refused-twice": (
        [Decision("refused", 150 * D), Decision("refused", 110 * D)],
        Fate(True, 140 * D),
    ),
    "withdrawn-then-again": (
        [Decision("withdrawn", 110 * D), Decision("approved", 120 * D)],
        Fate(False, 110 * D),
    ),
    "new-for-the-next": (
        [Decision("refused", 90 * D), Decision("applied", None)],
        Fate(False, None),
    ),
}


@pytest.mark.parametrize(("decisions", "expected"), CASES.values(), ids=CASES.keys())
def test_the_fate_of_a_document(decisions: list[Decision], expected: Fate) -> None:
    assert fate(100 * D, decisions, 30) == expected


async def test_it_is_destroyed_some_days_after_the_decision(
    any_house: House, tmp_path: Path
) -> None:
    house = any_house
    anna, rita, rooms = await house.sign_up(), await house.admin(), room(house, tmp_path)
    application = await apply(house, anna)
    await rooms.put(anna, "a.pdf", PDF)
    [document] = await rooms.of_member(anna)
    await house.review.refuse(application, rita, "Unreadable")
    house.clock.advance(30 * DAY - 1)
    assert await rooms.sweep() == 0
    assert (await rooms.open(application, document.id, by=rita)).data == PDF
    with pytest.raises(Conflict):
        await rooms.delete(anna, document.id)
    [file] = files(tmp_path)
    kept_open = file.open("rb")
    before = kept_open.read()
    house.clock.advance(1)
    assert await rooms.sweep() == 1
    assert files(tmp_path) == []
    # Whoever had the file open, or its blocks, sees other bytes.
    kept_open.seek(0)
    after = kept_open.read()
    kept_open.close()
    assert len(after) == len(before) and after != before
    row = (await house.db.fetch_all("SELECT * FROM documents"))[0]
    assert (bytes(row["key_sealed"]), bytes(row["name_sealed"])) == (b"", b"")
    with pytest.raises(NotFound):
        await rooms.open(application, document.id, by=rita)
    assert await rooms.of_member(anna) == ()
    assert ("fedidoc", "document_destroyed", document.id) in await house.audit()
    assert await rooms.sweep() == 0


async def test_its_member_may_destroy_it_before(house: House, tmp_path: Path) -> None:
    anna, rooms = await house.sign_up(), room(house, tmp_path)
    await rooms.put(anna, "a.pdf", PDF)
    await apply(house, anna)
    [document] = await rooms.of_member(anna)
    results = await asyncio.gather(
        *(rooms.delete(anna, document.id) for _ in range(3)), return_exceptions=True
    )
    assert sum(r is None for r in results) == 1
    assert files(tmp_path) == []
    assert [a for _, a, _ in await house.audit()].count("document_destroyed") == 1


async def test_what_nothing_came_of_is_destroyed(house: House, tmp_path: Path) -> None:
    anna, eve, rooms = await house.sign_up(), await house.sign_up("eve"), room(house, tmp_path)
    await rooms.put(anna, "a.pdf", PDF)  # who never applies
    await rooms.put(eve, "b.pdf", PDF)
    await apply(house, eve)
    await house.review.withdraw(await house.accounts.show("eve"))
    assert await rooms.sweep() == 1
    house.clock.advance(14 * DAY)
    assert await rooms.sweep() == 1
    assert files(tmp_path) == []


async def test_files_that_no_row_speaks_of_are_destroyed(house: House, tmp_path: Path) -> None:
    """What a process that was killed between the file and its row has left."""
    anna, rooms = await house.sign_up(), room(house, tmp_path)
    await rooms.put(anna, "a.pdf", PDF)
    [kept] = files(tmp_path)
    for name in ("orphan", ".new-x"):
        (kept.parent / name).write_bytes(b"x" * 100)
    now = house.clock.now() / 1000
    for file in files(tmp_path):
        os.utime(file, (now, now))
    await rooms.sweep()
    assert len(files(tmp_path)) == 3, "its row may be on its way"
    house.clock.advance(HOUR + 1000)
    await rooms.sweep()
    assert files(tmp_path) == [kept]


async def test_a_file_that_is_gone_is_said_to_be(house: House, tmp_path: Path) -> None:
    """After a restore, since documents are in no backup."""
    anna, rita, rooms = await house.sign_up(), await house.admin(), room(house, tmp_path)
    application = await apply(house, anna)
    await rooms.put(anna, "a.pdf", PDF)
    files(tmp_path)[0].unlink()
    [document] = await rooms.of_member(anna)
    with pytest.raises(NotFound, match="upload"):
        await rooms.open(application, document.id, by=rita)
    await rooms.delete(anna, document.id)
    assert await rooms.of_member(anna) == ()


async def test_register_and_document_verify_where_the_house_says_so(
    house: House, tmp_path: Path
) -> None:
    house.use_policy(Policy.of({}, automatic=["register+document"]))
    anna, rita, rooms = await house.sign_up(), await house.admin(), room(house, tmp_path)
    application = await apply(house, anna)
    await rooms.put(anna, "a.pdf", PDF)
    [document] = await rooms.of_member(anna)
    async with house.db.transaction() as tx:
        await house.review.records.record(
            tx, anna.id, EvidenceKind.REGISTER, detail="NPPES", by="register"
        )
    await rooms.open(application, document.id, by=rita)
    await rooms.attest(application, document.id, "Licence of New York", by=rita)
    verified = await house.accounts.show("anna")
    assert verified.verified and verified.role is Role.PHYSICIAN
