"""What the pages call things."""

import pytest

from fedidoc.clinical.phi import Kind, Severity, scan
from fedidoc.clock import DAY, HOUR, MINUTE
from fedidoc.model import (
    Audience,
    Badge,
    CaseState,
    NotificationKind,
    PeerPolicy,
    Role,
    Specialty,
)
from fedidoc.verification.comparison import Mark
from fedidoc.verification.evidence import Assurance
from fedidoc.web import words

NOW = 1_790_000_000_000


@pytest.mark.parametrize(
    ("passed", "said"),
    [
        (-HOUR, "just now"),  # a peer's clock may run ahead
        (0, "just now"),
        (MINUTE, "1 min ago"),
        (59 * MINUTE, "59 min ago"),
        (HOUR, "1 h ago"),
        (DAY, "yesterday"),
        (6 * DAY, "6 days ago"),
        (7 * DAY, "14 Sep 2026"),
    ],
)
def test_how_long_ago(passed: int, said: str) -> None:
    assert words.ago(NOW - passed, NOW) == said


def test_a_badge_in_one_line_never_calls_the_unverified_physicians() -> None:
    seal = Badge(True, "", "physician", Specialty("207RC0000X", "Cardiology"), issuer="a.example")
    assert words.badge(seal) == "Verified physician · Cardiology"
    claims = Badge(False, "It was taken back.", "physician", issuer="a.example")
    assert words.badge(claims) == "Not verified"


def test_a_profession_that_another_server_made_up_is_still_words() -> None:
    assert words.role("nurse_practitioner") == "Nurse practitioner"
    assert words.role("clinical_pharmacist") == "Clinical pharmacist"


def test_every_value_has_words() -> None:
    """A new kind without words would be an error on the page that first meets it."""
    for role in Role:
        assert words.role(role)
    for audience in Audience:
        assert words.readers(audience)
        assert words.readers_at_length(audience).endswith(".")
    for state in CaseState:
        assert words.state(state)
    for kind in NotificationKind:
        assert words.notice(kind)
        assert words.notice_icon(kind)
    for policy in PeerPolicy:
        assert words.policy(policy)
    for mark in Mark:
        assert words.mark(mark.value)
    unknown = words.assurance("something else")
    for assurance in Assurance:
        assert words.assurance(assurance.value) != unknown


def test_everything_the_guard_may_ask_about_has_its_own_sentence() -> None:
    asked = {f.kind for text in (
        "Mrs Miller", "see https://a.example/b", "from 10.20.30.40", "in March 2024", "4711081512",
    ) for f in scan(text) if f.severity is Severity.WARN}  # fmt: skip
    assert asked == {Kind.NAME, Kind.URL, Kind.IP, Kind.MONTH_YEAR, Kind.NUMBER}
    sentences = {words.confirmation(kind) for kind in asked}
    assert len(sentences) == len(asked)
