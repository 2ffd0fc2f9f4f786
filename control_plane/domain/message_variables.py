"""The variables of a template: from facts of a tenant and of a message to words of a language."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from control_plane.domain.calendars.moments import wall_of
from control_plane.domain.message_events import EVENTS
from control_plane.domain.message_rules import MessageRules

_INSTANT: Final = "_at"  # data whose names end so are instants
_UNRESOLVED: Final = "unknown"  # the key of words for a tenant whose mode is not resolved yet


@dataclass(frozen=True, kw_only=True)
class MessageFacts:
    """What is known of the tenant that a message is about; ``contacts`` are roles and names."""

    company: str
    slug: str
    mode: str | None
    region: str | None
    zone: str
    signed_at: datetime
    day: int
    contacts: tuple[tuple[str, str], ...]


def variables(
    rules: MessageRules,
    locale: str,
    facts: MessageFacts,
    *,
    event: str,
    recipient: str,
    data: Mapping[str, Any],
    secrets: Mapping[str, str],
) -> dict[str, Any]:
    """Return every variable that a template of an event may show, as text of a language."""
    words, known = rules.words[locale], EVENTS[event]
    mode = facts.mode or _UNRESOLVED
    found: dict[str, Any] = {
        "brand": rules.brand,
        "company": facts.company,
        "slug": facts.slug,
        "mode": facts.mode or "",
        "region": facts.region or "",
        "hub_status": words.hub[mode],
        "signed_on": words.day(wall_of(facts.signed_at, facts.zone).date()),
        "day": facts.day,
        "recipient": recipient,
        "contacts": [
            {"role": words.roles.get(role, role), "name": name} for role, name in facts.contacts
        ],
        "prerequisites": list(words.prerequisites),
        "portal_steps": list(words.portal_steps[mode]),
    }
    for name in (*known.takes, *known.may_take):
        found[name] = _shown(rules, locale, facts.zone, name, data.get(name))
    return {**found, **{name: secrets[name] for name in known.secrets}}


def _shown(rules: MessageRules, locale: str, zone: str, name: str, value: Any) -> Any:
    if value is None:
        return ""
    if name.endswith(_INSTANT):
        return rules.words[locale].instant(instant_of(str(value)), zone)
    return value


def is_instant(name: str) -> bool:
    """Tell whether data of that name are an instant."""
    return name.endswith(_INSTANT)


def instant_of(text: str) -> datetime:
    """Return an instant of ISO 8601. Raises ``ValueError`` for one without a zone."""
    found = datetime.fromisoformat(text)
    if found.tzinfo is None:
        raise ValueError("a time without a zone")
    return found.astimezone(UTC)
