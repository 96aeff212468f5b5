"""How large a request's body may be, decided from its head: what is too large is never read."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from typing import Any

from quart.formparser import FormDataParser
from quart.wrappers import Request
from werkzeug.datastructures import Headers

from fedidoc.web.gate import DOCUMENTS, SMALL_BODY


def sized_request(pictures: int, documents: int, *, minted: Callable[[str], bool]) -> type[Request]:
    """A request class whose body may be `pictures` bytes longer where pictures are sent, and
    `documents` where documents are; all other bodies stay small.

    That is under /cases/ and at `DOCUMENTS`, and only with the cookie of a session that began here
    (`minted`), be it over meanwhile: what its owner was writing is then kept. Nobody else can fill
    memory with it. Documents stay in memory while a request is read: larger files of a form would
    otherwise lie readable in the system's folder for temporary files.
    """

    class SizedRequest(Request):
        def __init__(self, method: str, scheme: str, path: str, *rest: Any, **named: Any) -> None:
            headers: Headers = rest[1]
            more = pictures if path.startswith("/cases/") else 0
            if path == DOCUMENTS:
                more = documents
            cookies = headers.get("Cookie", "").split(";") if more else []
            known = any(minted(each.partition("=")[2].strip()) for each in cookies)
            named["max_content_length"] = SMALL_BODY + (more if known else 0)
            super().__init__(method, scheme, path, *rest, **named)
            self.max_content_length = named["max_content_length"]

        def make_form_data_parser(self) -> FormDataParser:
            parser = super().make_form_data_parser()
            if self.path == DOCUMENTS:
                parser.stream_factory = _in_memory
            return parser

    return SizedRequest


def _in_memory(
    total_content_length: int | None,
    content_type: str | None,
    filename: str | None,
    content_length: int | None = None,
) -> BytesIO:
    return BytesIO()
