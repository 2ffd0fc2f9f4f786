"""What a change may ask for: which facts change this way, and which way the others change."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Final

from control_plane.domain.amendment import Terms
from control_plane.domain.errors import InvalidInput
from control_plane.domain.facts import Facts

# facts that do not change this way, and the way that they do
_MODE: Final = "which mode a tenant is in is decided apart: `tenantctl tenant decide-mode`"
_SIGNED: Final = "is part of the contract: send the amendment that changes it with `amendment`"
_ELSEWHERE: Final[Mapping[str, str]] = {
    "contract_mode": _MODE,
    "requested_mode": _MODE,
    "current_mode": _MODE,
    "subscription": _SIGNED,
    "sla_uptime_min": _SIGNED,
    "residency": "says where data is promised to be, and no change moves data: it takes another "
    "tenant (`tenantctl request submit` with `additional_tenant`)",
}
CHANGEABLE: Final = tuple(each.name for each in fields(Facts) if each.name not in _ELSEWHERE)


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What somebody asks to be changed, as plain JSON; only what changes is in it."""

    facts: Mapping[str, Any] = field(default_factory=dict)
    environment: Mapping[str, Any] = field(default_factory=dict)
    amendment: Mapping[str, Any] | None = None

    def to_document(self) -> dict[str, Any]:
        """Return it as plain JSON; a part that is empty is left out."""
        parts = {"environment": dict(self.environment), "amendment": self.amendment}
        return {"facts": dict(self.facts)} | {name: part for name, part in parts.items() if part}

    @property
    def names(self) -> tuple[str, ...]:
        """What it names, sorted: facts, choices, and ``amendment``."""
        amended = ("amendment",) if self.amendment is not None else ()
        return tuple(sorted((*self.facts, *(f"environment.{n}" for n in self.environment),
                             *amended)))  # fmt: skip


def require_something(wish: Wish) -> None:
    """Raise ``InvalidInput`` for a wish that names nothing."""
    if not wish.names:
        raise InvalidInput(
            "name at least one fact, one choice of the environment, or an amendment", field="facts"
        )


def changed_facts(
    before: Facts, document: Mapping[str, Any], wish: Wish, terms: Terms | None
) -> tuple[Facts, tuple[str, ...]]:
    """Return the facts as they would be, and which of them have another value.

    ``document`` is ``before`` as it is kept. Raises ``InvalidInput`` naming the first fact that
    cannot be right, or that changes another way, with that way.
    """
    for name in sorted(wish.facts):
        if name in _ELSEWHERE:
            raise InvalidInput(
                f"{name} is not changed this way: {_sentence(name)}", field=f"facts.{name}"
            )
    amended = terms.facts if terms is not None else {}
    for name in sorted(set(amended) & set(wish.facts)):
        if amended[name] != wish.facts[name]:
            raise InvalidInput(f"{name} has another value in the amendment", field=f"facts.{name}")
    try:
        after = Facts.from_document({**document, **wish.facts, **amended})
    except InvalidInput as error:
        raise error.renamed(
            lambda name: f"{'amendment' if name in amended else 'facts'}.{name}"
        ) from error
    names = (each.name for each in fields(Facts))
    return after, tuple(name for name in names if getattr(before, name) != getattr(after, name))


def _sentence(name: str) -> str:
    sentence = _ELSEWHERE[name]
    return f"it {sentence}" if sentence is not _MODE else sentence
