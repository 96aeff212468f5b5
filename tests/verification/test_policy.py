"""Which role with which evidence is given which level."""

from __future__ import annotations

import pytest

from fedidoc.config import LevelRules
from fedidoc.errors import ConfigError
from fedidoc.model import Badge, Right, Role
from fedidoc.verification.evidence import Assurance, EvidenceKind, assurance_of
from fedidoc.verification.policy import Policy

K = EvidenceKind
DOCTORS = {Role.PHYSICIAN, Role.NURSE_PRACTITIONER, Role.PHYSICIAN_ASSISTANT}
TRAINEES = {Role.RESIDENT, Role.STUDENT}


@pytest.mark.parametrize(
    ("kinds", "assurance"),
    [
        ((), None),
        ((K.REGISTER,), None),
        ((K.DOCUMENT,), None),
        ((K.REGISTER, K.DOCUMENT), Assurance.REGISTER),
        ((K.IDENTITY_PROVIDER,), Assurance.EMPLOYER),
        ((K.EMPLOYER,), Assurance.EMPLOYER),
        ((K.INSTITUTIONAL_EMAIL,), Assurance.INSTITUTIONAL_EMAIL),
        ((K.VOUCHES,), Assurance.VOUCHED),
        ((K.OPERATOR,), Assurance.VOUCHED),
        ((K.VOUCHES, K.REGISTER), Assurance.VOUCHED),
        ((K.VOUCHES, K.INSTITUTIONAL_EMAIL), Assurance.INSTITUTIONAL_EMAIL),
        ((K.INSTITUTIONAL_EMAIL, K.DOCUMENT, K.REGISTER), Assurance.REGISTER),
        (tuple(K), Assurance.EMPLOYER),
    ],
)
def test_what_kinds_give_together(kinds: tuple[K, ...], assurance: Assurance | None) -> None:
    assert assurance_of(kinds) is assurance
    assert assurance_of(list(reversed(kinds))) is assurance


@pytest.mark.parametrize("role", [role for role in Role if role is not Role.STAFF])
def test_without_levels_of_its_own_any_assurance_suffices(role: Role) -> None:
    policy = Policy.of({})
    name = "verified" if role in DOCTORS else "trainee"
    for kind in (K.IDENTITY_PROVIDER, K.EMPLOYER, K.INSTITUTIONAL_EMAIL, K.VOUCHES, K.OPERATOR):
        level = policy.level_for(role, [kind])
        assert level is not None and level.name == name
    for too_little in ([], [K.REGISTER], [K.DOCUMENT]):
        assert policy.level_for(role, too_little) is None
    level = policy.level_for(role, [K.REGISTER, K.DOCUMENT])
    assert level is not None
    assert level.may >= {Right.READ, Right.ANSWER, Right.OPEN}
    assert (Right.VOUCH in level.may) == (Right.FOUND in level.may) == (role in DOCTORS)
    assert level.mark == ("in training" if role in TRAINEES else "")


def test_staff_are_given_no_level() -> None:
    assert Policy.of({}).level_for(Role.STAFF, tuple(K)) is None


STRICT = {
    "full": LevelRules(
        ("physician",), ("identity_provider", "register+document+employer"), ("read", "open")
    ),
    "known": LevelRules(
        ("physician", "resident"), ("vouches+institutional_email",), ("read", "answer"), "guest"
    ),
    "reader": LevelRules(("physician", "student"), ("vouches", "institutional_email"), ("read",)),
}


@pytest.mark.parametrize(
    ("role", "kinds", "name"),
    [
        (Role.PHYSICIAN, {K.IDENTITY_PROVIDER}, "full"),
        (Role.PHYSICIAN, {K.REGISTER, K.DOCUMENT, K.EMPLOYER}, "full"),
        (Role.PHYSICIAN, {K.REGISTER, K.DOCUMENT}, None),
        (Role.PHYSICIAN, {K.EMPLOYER}, None),
        (Role.PHYSICIAN, {K.VOUCHES}, "reader"),
        (Role.PHYSICIAN, {K.VOUCHES, K.INSTITUTIONAL_EMAIL}, "known"),
        # The first that fits, though a later one would fit too.
        (Role.PHYSICIAN, {K.VOUCHES, K.INSTITUTIONAL_EMAIL, K.IDENTITY_PROVIDER}, "full"),
        (Role.RESIDENT, {K.IDENTITY_PROVIDER}, None),
        (Role.RESIDENT, {K.VOUCHES}, None),
        (Role.RESIDENT, {K.VOUCHES, K.INSTITUTIONAL_EMAIL}, "known"),
        (Role.STUDENT, {K.INSTITUTIONAL_EMAIL}, "reader"),
        (Role.STUDENT, {K.OPERATOR}, None),
        (Role.NURSE_PRACTITIONER, set(K), None),
    ],
)
def test_levels_of_an_instances_own(role: Role, kinds: set[K], name: str | None) -> None:
    level = Policy.of(STRICT).level_for(role, kinds)
    assert (level.name if level else None) == name


@pytest.mark.parametrize(
    ("rules", "words"),
    [
        (LevelRules((), ("employer",), ("read",)), "roles"),
        (LevelRules(("staff",), ("employer",), ("read",)), "clinical roles"),
        (LevelRules(("surgeon",), ("employer",), ("read",)), "surgeon"),
        (LevelRules(("physician",), (), ("read",)), "evidence"),
        (LevelRules(("physician",), ("register",), ("read",)), "register\\+document"),
        (LevelRules(("physician",), ("document",), ("read",)), "does not show who"),
        (LevelRules(("physician",), ("employer+",), ("read",)), "evidence"),
        (LevelRules(("physician",), ("handshake",), ("read",)), "handshake"),
        (LevelRules(("physician",), ("employer",), ("rule",)), "rule"),
        (LevelRules(("physician",), ("employer",), ("answer",)), "read"),
        (LevelRules(("physician",), ("employer",), ("read",), "x" * 41), "mark"),
        (LevelRules(("physician",), ("employer",), ("read",), "a\nb"), "mark"),
    ],
)
def test_a_level_that_makes_no_sense_is_refused(rules: LevelRules, words: str) -> None:
    with pytest.raises(ConfigError, match=words) as refusal:
        Policy.of({"mine": rules})
    assert "[levels.mine]" in refusal.value.text


def test_who_may_join_has_a_level() -> None:
    with pytest.raises(ConfigError, match="nurse_practitioner, which no level takes"):
        Policy.of(STRICT, ["physician", "nurse_practitioner"])
    Policy.of(STRICT, ["physician", "student"])


@pytest.mark.parametrize("text", ["register", "telepathy", "document", ""])
def test_what_verifies_by_itself_must_show_who_somebody_is(text: str) -> None:
    with pytest.raises(ConfigError, match=r"\[review\] automatic"):
        Policy.of({}, automatic=[text])


def test_what_verifies_by_itself() -> None:
    policy = Policy.of(STRICT, automatic=["identity_provider", "vouches"])
    assert policy.is_automatic(Role.PHYSICIAN, {K.IDENTITY_PROVIDER, K.DOCUMENT})
    assert policy.is_automatic(Role.PHYSICIAN, {K.VOUCHES})
    assert not policy.is_automatic(Role.PHYSICIAN, {K.EMPLOYER, K.REGISTER, K.DOCUMENT})
    # Automatic, but not enough for a resident here.
    assert not policy.is_automatic(Role.RESIDENT, {K.VOUCHES})
    assert not policy.is_automatic(Role.RESIDENT, {K.VOUCHES, K.INSTITUTIONAL_EMAIL})
    assert not Policy.of({}).is_automatic(Role.PHYSICIAN, set(K))


def badge(profession: str, assurance: str, *, verified: bool = True) -> Badge:
    return Badge(verified, "", profession=profession, assurance=assurance)


@pytest.mark.parametrize(
    ("shown", "mark"),
    [
        (badge("resident", "employer"), "guest"),
        (badge("physician", "employer"), ""),
        (badge("physician", "institutional_email"), "guest"),
        (badge("physician", "unheard of"), ""),
        (badge("resident", "employer", verified=False), ""),
        (badge("astronaut", "employer"), ""),
    ],
)
def test_marks_are_by_profession_and_assurance(shown: Badge, mark: str) -> None:
    assert Policy.of(STRICT).mark_for(shown) == mark
