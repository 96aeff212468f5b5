"""One signed POST to one inbox, and what it means for the row that asked for it.

Nothing is kept here: attempts, remembered schemes and the next time are the caller's.
"""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from fedidoc.activitypub.addressing import request_url
from fedidoc.activitypub.errors import DocumentError, FetchError, SignatureError
from fedidoc.activitypub.fetch import Answer, Fetcher
from fedidoc.activitypub.signatures import BodyDigest, Scheme, SigningKey, sign

CONTENT_TYPE: Final = "application/activity+json"

_MINUTE: Final = 60_000
# Minutes after each failed attempt; five days in all, so that a server may be down over a weekend.
_DELAYS: Final = (1, 5, 15, 60, 180, 360, 720, 1440, 1440, 1440, 1440)
_MAX_RETRY_AFTER: Final = 86_400
_TRANSIENT: Final = frozenset({408, 425, 429})
# What peers answer to a signature of a family they do not read. bovine_herd answers 500 instead,
# which is one reason for sending draft-cavage first.
_UNREADABLE: Final = frozenset({400, 401})


@dataclass(frozen=True, slots=True)
class Delivered:
    """The peer took it; ``scheme`` is what to remember for its host."""

    scheme: Scheme


@dataclass(frozen=True, slots=True)
class RetryAt:
    """Not now: try again at ``at_ms``. ``reason`` is a machine word."""

    at_ms: int
    reason: str


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Trying again would not help, or has been tried long enough. ``reason`` is a machine word."""

    reason: str


Outcome = Delivered | RetryAt | GiveUp


def back_off(attempts: int, now_ms: int, *, jitter: float) -> int | None:
    """When to try again after ``attempts`` failures (at least 1); None after about five days.

    ``jitter`` from 0 to 1 stretches the delay by up to a quarter, so that many rows do not come
    back at once.
    """
    if not 1 <= attempts <= len(_DELAYS):
        return None
    return now_ms + int(_DELAYS[attempts - 1] * _MINUTE * (1 + jitter / 4))


async def deliver(
    inbox: str,
    body: bytes,
    *,
    keys: Mapping[Scheme, SigningKey],
    scheme: Scheme | None,
    fetcher: Fetcher,
    now_ms: int,
    attempts: int,
    digest: BodyDigest,
    jitter: float | None = None,
) -> Outcome:
    """POST ``body``, signed anew, to ``inbox``.

    ``scheme`` is what this host took last time; it is tried first. On 400 or 401 the other families
    are tried ("double-knocking"): draft-cavage before RFC 9421. ``attempts`` counts earlier
    failures. ``digest`` is ``digest_body(body)``, made once for all hosts.
    """
    outcome: Outcome = GiveUp("no_key")
    try:
        url = request_url(inbox)
        for candidate in _order(keys, scheme):
            headers = sign(
                "POST",
                url,
                body,
                key=keys[candidate],
                scheme=candidate,
                now_ms=now_ms,
                content_type=CONTENT_TYPE,
                prepared_digest=digest,
            )
            answer = await fetcher.post(url, headers, body)
            if 200 <= answer.status < 300:
                return Delivered(candidate)
            outcome = _judge(answer, attempts, now_ms, jitter)
            if answer.status not in _UNREADABLE:
                break
    except FetchError as error:
        if error.transient:
            return _again(error.reason, attempts, now_ms, jitter)
        return GiveUp(error.reason)
    except (DocumentError, SignatureError) as error:
        return GiveUp(error.reason)
    return outcome


def _order(keys: Mapping[Scheme, SigningKey], scheme: Scheme | None) -> list[Scheme]:
    """The remembered scheme, then what everybody reads; Ed25519 only where it is remembered."""
    wanted = (scheme, Scheme.CAVAGE, Scheme.RFC9421)
    return [each for each in dict.fromkeys(wanted) if each is not None and each in keys]


def _judge(answer: Answer, attempts: int, now_ms: int, jitter: float | None) -> Outcome:
    status = answer.status
    reason = f"status_{status}"
    # 401 may pass: the peer may not have been able to fetch our key. So may 403: between closed
    # servers it says that its operator has not allowed us yet. A redirect may be a maintenance
    # page; it is never followed with a signed body.
    transient = status in _TRANSIENT or status in (401, 403) or 300 <= status < 400
    if not transient and (status < 500 or status == 501):
        return GiveUp(reason)
    return _again(reason, attempts, now_ms, jitter, answer.retry_after)


def _again(
    reason: str, attempts: int, now_ms: int, jitter: float | None, retry_after: int | None = None
) -> Outcome:
    if jitter is None:
        jitter = secrets.randbelow(1001) / 1000
    at_ms = back_off(attempts + 1, now_ms, jitter=jitter)
    if at_ms is None:
        return GiveUp(reason)
    if retry_after is not None:
        at_ms = max(at_ms, now_ms + min(retry_after, _MAX_RETRY_AFTER) * 1000)
    return RetryAt(at_ms, reason)
