"""The NPPES registry's own service: an NPI that no imported file has, looked up when it is needed.

Version 2.1 of the API (https://npiregistry.cms.hhs.gov/api-page). The number leaves the instance
and nothing else of the claim. Answers are kept sealed for a day: a page opened twice asks once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final
from urllib.parse import urlencode

from fedidoc.clock import DAY, MINUTE, Clock
from fedidoc.storage import registers
from fedidoc.storage.engine import Database
from fedidoc.storage.registers import Answer
from fedidoc.vault import Vault
from fedidoc.verification import npi as npi_rules
from fedidoc.verification.registries import (
    Licence,
    RegisterRow,
    row_from_bytes,
    row_to_bytes,
)

Ask = Callable[[str], Awaitable[Mapping[str, Any] | None]]
"""The JSON object at an address, or None if it cannot be had; within guards and limits."""

_REGISTER: Final = "nppes_api"
_SECONDS: Final = 8
_KEPT: Final = DAY
_KEPT_FAILURE: Final = MINUTE
_MOST: Final = 15
_LONGEST: Final = 300
# What is sealed in place of a row.
_NOTHING: Final = b"nothing"
_SILENCE: Final = b"silence"


class NppesService:
    """Asks the service at `url`, once a day for a number. An empty `url` asks nothing."""

    def __init__(self, db: Database, clock: Clock, vault: Vault, url: str, ask: Ask) -> None:
        self._db = db
        self._clock = clock
        self._vault = vault
        self._url = url
        self._ask = ask

    @property
    def configured(self) -> bool:
        return bool(self._url)

    async def refresh(self, npi: str) -> None:
        """Ask for a number unless the answer at hand is fresh. Not inside a transaction."""
        self._db.forbid_nesting()
        if not self._url or not npi_rules.valid(npi):
            return
        mac, now = self._mac(npi), self._clock.now()
        known = await registers.answer(self._db, _REGISTER, mac)
        if known is not None:
            silent = self._vault.open(known.sealed, mac) == _SILENCE
            if 0 <= now - known.answered < (_KEPT_FAILURE if silent else _KEPT):
                return
        document = None
        try:
            async with asyncio.timeout(_SECONDS):
                document = await self._ask(
                    f"{self._url}?{urlencode({'version': '2.1', 'number': npi})}"
                )
        except TimeoutError:
            pass
        if document is None:
            if known is not None:
                return  # what was known before is better than nothing
            found = _SILENCE
        else:
            found = _read(document, npi)
        async with self._db.transaction() as tx:
            await registers.forget_answers(tx, now - _KEPT)
            await registers.put_answer(
                tx, _REGISTER, mac, Answer(now, self._vault.seal(found, mac))
            )

    async def find(self, npi: str) -> RegisterRow | None:
        """What was answered, from the database alone."""
        if not self._url or not npi:
            return None
        mac = self._mac(npi)
        known = await registers.answer(self._db, _REGISTER, mac)
        data = self._vault.open(known.sealed, mac) if known else _NOTHING
        return None if data in (_NOTHING, _SILENCE) else row_from_bytes(data)

    async def answered(self, npi: str) -> bool:
        """Whether there is an answer, be it that there is no such number."""
        mac = self._mac(npi)
        known = await registers.answer(self._db, _REGISTER, mac)
        return known is not None and self._vault.open(known.sealed, mac) != _SILENCE

    def _mac(self, npi: str) -> str:
        return self._vault.fingerprint(npi, "npi asked")


def _read(document: Mapping[str, Any], npi: str) -> bytes:
    """The row in an answer, or that there is none; silence for what is no answer (`Errors`)."""
    results = document.get("results")
    if not isinstance(results, list):
        return _SILENCE
    for result in results[:_MOST]:
        # Older answers have the number as a number.
        if isinstance(result, dict) and str(result.get("number")) == npi:
            return row_to_bytes(_row(result, npi))
    return _NOTHING


def _row(result: Mapping[str, Any], npi: str) -> RegisterRow:
    basic = result.get("basic")
    basic = basic if isinstance(basic, dict) else {}
    organisation = result.get("enumeration_type") == "NPI-2"
    taxonomies = [t for t in _list(result.get("taxonomies")) if _text(t, "code")]
    taxonomies.sort(key=lambda t: t.get("primary") is not True)
    place = next(
        (a for a in _list(result.get("addresses")) if _text(a, "address_purpose") == "LOCATION"), {}
    )
    status = _text(basic, "status")
    return RegisterRow(
        npi=npi,
        organisation=organisation,
        last_name=_text(basic, "organization_name" if organisation else "last_name"),
        first_name=_text(basic, "first_name"),
        middle_name=_text(basic, "middle_name"),
        credential=_text(basic, "credential"),
        city=_text(place, "city"),
        state=_text(place, "state"),
        taxonomies=tuple(dict.fromkeys(_text(t, "code") for t in taxonomies)),
        licences=tuple(
            Licence(_text(t, "license"), _text(t, "state"), _text(t, "code"))
            for t in taxonomies
            if _text(t, "license")
        ),
        enumerated=_text(basic, "enumeration_date"),
        updated=_text(basic, "last_updated"),
        status="" if status in ("", "A") else f"status {status}",
        in_force=status in ("", "A"),
    )


def _list(value: object) -> list[dict[str, Any]]:
    return [v for v in value if isinstance(v, dict)][:_MOST] if isinstance(value, list) else []


def _text(values: Mapping[str, Any], key: str) -> str:
    value = values.get(key)
    if not isinstance(value, str):
        return ""
    return " ".join("".join(filter(str.isprintable, value[:_LONGEST])).split())
