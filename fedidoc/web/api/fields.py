"""What a call brings: a form, or the same as JSON. Lists may be named `name` or `name[]`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any, TypeAlias

import orjson
from quart import request
from werkzeug.datastructures import MultiDict
from werkzeug.exceptions import BadRequest

from fedidoc.clinical.phi import IdentifiersFound
from fedidoc.errors import BadInput
from fedidoc.web import forms
from fedidoc.web.forms import Form

_JSON = frozenset({"application/json"})
_LIST_LIMIT = 100

Renaming: TypeAlias = AbstractContextManager[None]


async def sent() -> Form:
    """The fields of this call's body. 400 for JSON that is none, or no object."""
    if request.mimetype in _JSON:
        try:
            document = orjson.loads(await request.get_data(as_text=False))
        except orjson.JSONDecodeError:
            raise BadRequest from None
        if not isinstance(document, dict):
            raise BadRequest
        pairs = [(name, text) for name, value in document.items() for text in _texts(value)]
    else:
        parts = (await request.form).items(multi=True)
        # A part of a multipart form may have no name.
        pairs = [(name, text) for name, text in parts if isinstance(name, str)]
    return forms.read(MultiDict((name.removesuffix("[]"), text) for name, text in pairs))


def asked() -> Form:
    """The fields of this call's address."""
    pairs = request.args.items(multi=True)
    return forms.read(MultiDict((name.removesuffix("[]"), text) for name, text in pairs))


def _texts(value: Any) -> Iterator[str]:
    """A JSON value as a form would send it; `null` is a field that is not sent."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, bool):
        yield "true" if value else "false"
    elif isinstance(value, int | float):
        yield str(value)
    elif isinstance(value, list):
        for item in value[:_LIST_LIMIT]:
            if not isinstance(item, list):
                yield from _texts(item)
    elif isinstance(value, dict):
        # Nothing takes an object; what refuses a field by its name must still see it.
        yield ""


def is_on(form: Form, name: str) -> bool:
    """Whether a flag is set, in any of the ways in which clients set one."""
    return form.get(name).lower() in {"1", "true", "t", "on", "yes"}


@contextmanager
def renamed(names: Mapping[str, str]) -> Iterator[None]:
    """Name fields in errors as the API does where the rooms call them otherwise."""
    try:
        yield
    except IdentifiersFound as error:
        raise IdentifiersFound(
            {names.get(field, field): found for field, found in error.findings.items()}
        ) from None
    except BadInput as error:
        field = names.get(error.field, error.field) if error.field else None
        raise BadInput(error.text, field=field) from None
