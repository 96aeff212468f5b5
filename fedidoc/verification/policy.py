"""The house's rules: which role with which evidence is given which level, and what a level allows.

Pure. The levels come from the configuration, in its order: the first whose role and evidence fit is
given. Without any in the configuration there are two, as `DEFAULTS` says.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, TypeVar

from fedidoc.config import LevelRules
from fedidoc.errors import ConfigError
from fedidoc.model import Badge, Right, Role
from fedidoc.verification.evidence import EvidenceKind, assurance_of

_ANY: Final = (
    "identity_provider",
    "employer",
    "register+document",
    "institutional_email",
    "vouches",
    "operator",
)
DEFAULTS: Final[Mapping[str, LevelRules]] = {
    "verified": LevelRules(
        roles=("physician", "nurse_practitioner", "physician_assistant"),
        evidence=_ANY,
        may=("read", "answer", "open", "vouch", "found"),
    ),
    "trainee": LevelRules(
        roles=("resident", "student"),
        evidence=_ANY,
        may=("read", "answer", "open"),
        mark="in training",
    ),
}
_LONGEST_MARK: Final = 40

Value = TypeVar("Value", bound=StrEnum)


@dataclass(frozen=True, slots=True)
class Level:
    """`evidence` are alternatives, each a set that must be held whole. `mark` are words that stand
    beside the name; empty for none."""

    name: str
    roles: frozenset[Role]
    evidence: tuple[frozenset[EvidenceKind], ...]
    may: frozenset[Right]
    mark: str = ""

    def fits(self, role: Role, kinds: Collection[EvidenceKind]) -> bool:
        return role in self.roles and any(needed <= set(kinds) for needed in self.evidence)


@dataclass(frozen=True, slots=True)
class Policy:
    """All levels, in the order in which they are tried."""

    levels: tuple[Level, ...]
    automatic: tuple[frozenset[EvidenceKind], ...] = ()
    """Evidence that verifies without a reviewer, where a level takes it."""

    @classmethod
    def of(
        cls,
        rules: Mapping[str, LevelRules],
        roles: Iterable[str] = (),
        automatic: Iterable[str] = (),
    ) -> Policy:
        """From `[levels.NAME]` sections, or the default ones if there are none.

        ConfigError names what is wrong. `roles` are those that may join: each needs a level, or
        its people could apply and never be verified. `automatic` as in `[review] automatic`.
        """
        given = rules or DEFAULTS
        policy = cls(
            tuple(_level(name, each) for name, each in given.items()),
            tuple(_together(text, "[review] automatic") for text in automatic),
        )
        taken = frozenset[Role]().union(*(level.roles for level in policy.levels))
        for role in roles:
            if role not in taken:
                raise ConfigError(
                    f"[membership] roles has {role}, which no level takes; add it to the roles of"
                    " a [levels.NAME]."
                )
        return policy

    def level_for(self, role: Role, kinds: Collection[EvidenceKind]) -> Level | None:
        """The first level that the role and the evidence fit; None if none does."""
        return next((level for level in self.levels if level.fits(role, kinds)), None)

    def is_automatic(self, role: Role, kinds: Collection[EvidenceKind]) -> bool:
        """Whether evidence among the kinds gives the role a level without anybody's decision."""
        return any(
            needed <= set(kinds) and self.level_for(role, needed) is not None
            for needed in self.automatic
        )

    def mark_for(self, badge: Badge) -> str:
        """The words that stand beside the name of whoever has this badge, from here or elsewhere.

        A badge says profession and assurance: those of the first level that they fit. A credential
        of another instance whose assurance fits no level here has the mark of its profession.
        """
        fitting = [
            level
            for level in self.levels
            if badge.verified and badge.profession in {role.value for role in level.roles}
        ]
        for level in fitting:
            if badge.assurance in {assurance_of(kinds) for kinds in level.evidence}:
                return level.mark
        return fitting[0].mark if fitting else ""

    def alternatives(self, role: Role) -> tuple[tuple[Level, frozenset[EvidenceKind]], ...]:
        """Every way in which somebody of the role may be given a level, in the order tried."""
        return tuple(
            (level, needed)
            for level in self.levels
            if role in level.roles
            for needed in level.evidence
        )


def _level(name: str, rules: LevelRules) -> Level:
    where = f"[levels.{name}]"
    roles = frozenset(_values(Role, rules.roles, f"{where} roles"))
    if not roles or Role.STAFF in roles:
        raise ConfigError(f"{where} roles must name clinical roles, such as physician.")
    evidence = tuple(_together(text, f"{where} evidence") for text in rules.evidence)
    if not evidence:
        raise ConfigError(f"{where} evidence must name at least one kind, such as employer.")
    if len(rules.mark) > _LONGEST_MARK or not rules.mark.isprintable():
        raise ConfigError(f"{where} mark must be a few words, at most {_LONGEST_MARK} characters.")
    may = frozenset(_values(Right, rules.may, f"{where} may"))
    if may and Right.READ not in may:
        raise ConfigError(f"{where} may needs read: nobody answers what they may not read.")
    return Level(name, roles, evidence, may, rules.mark.strip())


def _together(text: str, where: str) -> frozenset[EvidenceKind]:
    """`register+document` as the kinds that must be held together."""
    kinds = frozenset(_values(EvidenceKind, text.split("+"), where))
    if assurance_of(kinds) is None:
        raise ConfigError(
            f"{where} has {text}, which alone does not show who somebody is; write"
            " register+document."
        )
    return kinds


def _values(kind: type[Value], names: Iterable[str], where: str) -> list[Value]:
    known = {value.value: value for value in kind}
    found = []
    for name in names:
        if name.strip() not in known:
            raise ConfigError(f"{where} has {name!r}; it takes {', '.join(known)}.")
        found.append(known[name.strip()])
    return found
