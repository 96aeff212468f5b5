"""Documents: what applicants upload to show who they are, for reviewers' eyes, and for a time.

Each file is encrypted with a key of its own (AES-256-GCM), which the vault seals into the database.
Pictures are decoded and written anew; PDFs are never opened here. Nothing decrypted touches the
disk. A document is destroyed some days after the decision it was for, within the hour when its
application is taken back, and when nothing came of it: first its key is taken away, then the file
is overwritten.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from fedidoc.clock import DAY, HOUR, Clock
from fedidoc.config import EvidenceRules
from fedidoc.errors import BadInput, Conflict, NotFound
from fedidoc.model import Account, Role, Standing
from fedidoc.storage import applications, documents, moderation, people
from fedidoc.storage.documents import Decision, DocumentRow
from fedidoc.storage.engine import Database, Reader, Transaction
from fedidoc.vault import Vault
from fedidoc.verification.claims import tidy_lines
from fedidoc.verification.desk import OPEN, State
from fedidoc.verification.evidence import EvidenceKind, Records
from fedidoc.verification.mailbox import Settle

MOST: Final = 6
"""How many documents a member may have here at once."""
_ENDINGS: Final = {"application/pdf": "pdf", "image/jpeg": "jpg", "image/png": "png"}
_UPLOADING: Final = (Standing.NEW, Standing.APPLIED, Standing.REFUSED)
_NEVER_APPLIED: Final = 14 * DAY
_NEVER_ANSWERED: Final = 90 * DAY
_AT_ONCE: Final = 2
_PAGE: Final = 200
_VERSION: Final = b"\x01"


class Clean(Protocol):
    """A picture written anew (`clinical.media.clean`)."""

    @property
    def data(self) -> bytes: ...
    @property
    def media_type(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Document:
    """What is shown of a document without opening it. Times are UTC milliseconds.

    `deletable` by its member; `destroyed_at` is when it goes by itself, None while it waits for a
    decision; `viewed` by the reviewer who asks.
    """

    id: str
    name: str
    media_type: str
    size: int
    uploaded: int
    deletable: bool
    destroyed_at: int | None
    viewed: bool = False


@dataclass(frozen=True, slots=True)
class Opened:
    """A document's content. `file_name` is ours, not the uploader's."""

    data: bytes
    media_type: str
    file_name: str


@dataclass(frozen=True, slots=True)
class Fate:
    """What becomes of a document. `decided`: a decision was made with it, so it is not its member's
    to delete any more."""

    decided: bool
    destroyed_at: int | None


def fate(uploaded: int, decisions: Iterable[Decision], days: int) -> Fate:
    """A document's fate from its member's applications. Pure.

    It belongs to the first application that was decided or taken back after it came.
    """
    decisions = list(decisions)
    after = [
        (d.decided, d.state)
        for d in decisions
        if d.decided is not None and d.decided >= uploaded and d.state not in OPEN
    ]
    if after:
        at, state = min(after)
        if state == State.WITHDRAWN:
            return Fate(False, at)
        return Fate(True, at + days * DAY)
    waiting = [d for d in decisions if d.state in OPEN]
    if not waiting:
        return Fate(False, uploaded + _NEVER_APPLIED)
    asked = waiting[0].decided if waiting[0].state == State.ASKED else None
    return Fate(False, None if asked is None else max(asked, uploaded) + _NEVER_ANSWERED)


def sniff(data: bytes) -> str:
    """The media type that the bytes themselves show; BadInput (field `document`) if it is none of
    ours. A PDF has to begin with its mark (ISO 32000-2, 7.5.2): what stands before it would make
    it something else as well."""
    if data.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if data.startswith((b"%PDF-1.", b"%PDF-2.")) and b"%%EOF" in data[-1024:]:
        return "application/pdf"
    raise BadInput("A document is a PDF, a JPEG or a PNG; save it as one of these.",
                   field="document")  # fmt: skip


class Documents:
    """Takes documents in, shows them to reviewers, destroys them."""

    def __init__(
        self,
        db: Database,
        clock: Clock,
        vault: Vault,
        folder: Path,
        rules: EvidenceRules,
        records: Records,
        *,
        settle: Settle,
        clean: Callable[[bytes], Clean],
    ) -> None:
        self._db = db
        self._clock = clock
        self._vault = vault
        self._folder = folder
        self._records = records
        self._settle = settle
        self._clean = clean
        self._days = rules.document_days
        self._most_bytes = rules.document_max_bytes
        self._decoding = asyncio.Semaphore(_AT_ONCE)

    # The member's side ------------------------------------------------------------------------

    async def put(self, account: Account, name: str, data: bytes) -> None:
        """Keep a document for the reviewers. BadInput (field `document`) says what is wrong."""
        media_type, data = await self._accept(data)
        id, file, key = self._clock.random_id(), self._clock.random_id(), os.urandom(32)
        row = DocumentRow(
            id=id,
            account_id=account.id,
            name_sealed=self._vault.seal(_tidy_name(name).encode(), f"name of document {id}"),
            key_sealed=self._vault.seal(key, f"key of document {id}"),
            file=file,
            media_type=media_type,
            size=len(data),
            uploaded=self._clock.now(),
        )
        await asyncio.to_thread(self._write, row, key, data)
        try:
            async with self._db.transaction() as tx:
                await tx.lock(f"documents {account.id}")
                now_stored = await people.account(tx, account.id)
                if (
                    now_stored is None
                    or now_stored.standing not in _UPLOADING
                    or now_stored.role is Role.STAFF
                ):
                    raise Conflict("Documents are taken before a decision only.")
                if len(await documents.of_account(tx, account.id)) >= MOST:
                    raise BadInput(
                        f"There are {MOST} documents already; delete one first.", field="document"
                    )
                await documents.put(tx, row)
        except BaseException:
            await asyncio.to_thread(_shred, self._folder / file)
            raise

    async def _accept(self, data: bytes) -> tuple[str, bytes]:
        if not data:
            raise BadInput("Choose a file first.", field="document")
        if len(data) > self._most_bytes:
            size = max(1, self._most_bytes // (1024 * 1024))
            raise BadInput(f"A document has at most {size} MB; make it smaller.", field="document")
        media_type = sniff(data)
        if media_type == "application/pdf":
            return media_type, data
        try:
            async with self._decoding:
                cleaned = await asyncio.to_thread(self._clean, data)
        except BadInput as error:
            raise BadInput(error.text, field="document") from None
        return cleaned.media_type, cleaned.data

    async def of_member(self, account: Account) -> tuple[Document, ...]:
        """The member's own, without their contents."""
        return await self._list(self._db, account.id)

    async def delete(self, account: Account, document_id: str) -> None:
        """Destroy one of the member's own now; Conflict once a decision was made with it."""
        async with self._db.transaction() as tx:
            await tx.lock(f"documents {account.id}")
            row = await documents.get(tx, document_id)
            if row is None or row.account_id != account.id:
                raise NotFound
            found = await documents.decisions(tx, [account.id])
            if fate(row.uploaded, found.get(account.id, ()), self._days).decided:
                raise Conflict("A decision was made with it; it is destroyed by itself later.")
            await self._end(tx, row, account.id)
        await asyncio.to_thread(_shred, self._folder / row.file)

    # The reviewer's side ----------------------------------------------------------------------

    async def of_application(self, application_id: str, *, by: Account) -> tuple[Document, ...]:
        """What the applicant uploaded and is not destroyed, for a reviewer. NotFound for others."""
        owner, _, reviewer = await self._reviewing(self._db, application_id, by)
        return await self._list(self._db, owner, reviewer)

    async def open(self, application_id: str, document_id: str, *, by: Account) -> Opened:
        """The content, for a reviewer; that they looked is in the audit log before they see it."""
        async with self._db.transaction() as tx:
            owner, _, reviewer = await self._reviewing(tx, application_id, by)
            row = await documents.get(tx, document_id)
            if row is None or row.account_id != owner:
                raise NotFound
        key = self._vault.open(row.key_sealed, f"key of document {row.id}")
        data = await asyncio.to_thread(self._read, row, key)
        now = self._clock.now()
        async with self._db.transaction() as tx:
            if await documents.get(tx, row.id) is None:
                raise NotFound  # it was destroyed meanwhile
            await documents.put_view(tx, row.id, reviewer, now)
            await moderation.append(
                tx, now, reviewer, "document_viewed", row.id, {"application": application_id}
            )
        name = f"document-{row.id[:6]}.{_ENDINGS[row.media_type]}"
        return Opened(data, row.media_type, name)

    async def attest(
        self, application_id: str, document_id: str, words: str, *, by: Account
    ) -> None:
        """Record as evidence that the reviewer saw a document and what it shows.

        BadInput (field `seen`) without words; Conflict if the application is decided, or the
        reviewer has not opened the document.
        """
        words = tidy_lines(words)
        if not 3 <= len(words) <= 1000:
            raise BadInput("Say in a few words what it is and what it shows.", field="seen")
        async with self._db.transaction() as tx:
            await tx.lock(f"application {application_id}")
            owner, state, reviewer = await self._reviewing(tx, application_id, by)
            row = await documents.get(tx, document_id)
            if row is None or row.account_id != owner:
                raise NotFound
            if state not in OPEN:
                raise Conflict("This application is decided.")
            if document_id not in await documents.viewed(tx, reviewer, [document_id]):
                raise Conflict("Open the document first.")
            await self._records.record(
                tx, owner, EvidenceKind.DOCUMENT, detail=words, by=reviewer,
                application_id=application_id,
            )  # fmt: skip
            await self._settle(tx, owner, reviewer)

    async def _reviewing(
        self, reader: Reader, application_id: str, by: Account
    ) -> tuple[str, str, str]:
        """(owner, the application's state, reviewer) if `by` may see the applicant's documents."""
        reviewer = await people.account(reader, by.id)
        found = await applications.get(reader, application_id)
        if (
            reviewer is None
            or not reviewer.admin
            or reviewer.standing is Standing.SUSPENDED
            or found is None
            or found.account.id == reviewer.id
        ):
            raise NotFound
        return found.account.id, found.state, reviewer.id

    # By itself --------------------------------------------------------------------------------

    async def sweep(self) -> int:
        """Destroy what has had its time, and files that no row speaks of; how many documents.

        Run it about once an hour. A file is left alone for its first hour: its row may be on its
        way.
        """
        count, after = 0, ""
        while rows := await documents.kept(self._db, after, _PAGE):
            after = rows[-1].id
            count += await self._sweep(rows)
        names = await asyncio.to_thread(self._old_files)
        for start in range(0, len(names), _PAGE):
            some = names[start : start + _PAGE]
            known = await documents.known(self._db, some)
            for name in set(some) - known:
                await asyncio.to_thread(_shred, self._folder / name)
        return count

    async def _sweep(self, rows: Collection[DocumentRow]) -> int:
        now, count = self._clock.now(), 0
        decisions = await documents.decisions(self._db, {row.account_id for row in rows})
        for row in rows:
            end = fate(row.uploaded, decisions.get(row.account_id, ()), self._days).destroyed_at
            if end is None or end > now:
                continue
            async with self._db.transaction() as tx:
                await self._end(tx, row, "fedidoc")
            await asyncio.to_thread(_shred, self._folder / row.file)
            count += 1
        return count

    async def _end(self, tx: Transaction, row: DocumentRow, by: str) -> None:
        now = self._clock.now()
        if await documents.destroy(tx, row.id, now):
            await moderation.append(tx, now, by, "document_destroyed", row.id, {})

    # Inside -----------------------------------------------------------------------------------

    async def _list(
        self, reader: Reader, account_id: str, reviewer: str = ""
    ) -> tuple[Document, ...]:
        rows = await documents.of_account(reader, account_id)
        found = (await documents.decisions(reader, [account_id])).get(account_id, [])
        seen = await documents.viewed(reader, reviewer, [row.id for row in rows])
        shown = []
        for row in rows:
            end = fate(row.uploaded, found, self._days)
            name = self._vault.open(row.name_sealed, f"name of document {row.id}").decode()
            shown.append(
                Document(
                    row.id, name, row.media_type, row.size, row.uploaded, not end.decided,
                    end.destroyed_at, row.id in seen,
                )
            )  # fmt: skip
        return tuple(shown)

    def _write(self, row: DocumentRow, key: bytes, data: bytes) -> None:
        """Encrypted, whole or not at all, and on disk before the row that names it."""
        nonce = os.urandom(12)
        sealed = _VERSION + nonce + AESGCM(key).encrypt(nonce, data, row.id.encode())
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle, temporary = tempfile.mkstemp(dir=self._folder, prefix=".new-")
        try:
            with os.fdopen(handle, "wb") as out:
                out.write(sealed)
                out.flush()
                os.fsync(out.fileno())
            Path(temporary).replace(self._folder / row.file)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise

    def _read(self, row: DocumentRow, key: bytes) -> bytes:
        try:
            sealed = (self._folder / row.file).read_bytes()
        except FileNotFoundError:
            # Documents are in no backup: after a restore the row is there and the file is not.
            raise NotFound("The file is gone; ask the member to upload it again.") from None
        try:
            if sealed[:1] != _VERSION:
                raise InvalidTag
            return AESGCM(key).decrypt(sealed[1:13], sealed[13:], row.id.encode())
        except (InvalidTag, ValueError):
            raise NotFound("The file was changed on disk, and does not open any more.") from None

    def _old_files(self) -> list[str]:
        if not self._folder.is_dir():
            return []
        before = self._clock.now() - HOUR
        return [
            entry.name
            for entry in os.scandir(self._folder)
            if entry.is_file(follow_symlinks=False) and entry.stat().st_mtime * 1000 < before
        ]


def _shred(path: Path) -> None:
    """Overwrite a file and remove it. What a disk or file system keeps besides is encrypted, and
    its key is gone."""
    try:
        with path.open("r+b") as file:
            left = os.fstat(file.fileno()).st_size
            while left > 0:
                left -= file.write(os.urandom(min(left, 1 << 20)))
            file.flush()
            os.fsync(file.fileno())
        path.unlink()
    except FileNotFoundError:
        return


def _tidy_name(name: str) -> str:
    """The last part of what a browser calls a file, in printable characters."""
    last = name.replace("\\", "/").rpartition("/")[2]
    return "".join(filter(str.isprintable, last)).strip()[:120] or "document"
