"""From the intake document to the sources of the domain."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any, Final

from control_plane.adapters.intake.http_reading import require_https
from control_plane.adapters.rules.documents import Document, nearest
from control_plane.domain import spellings
from control_plane.domain.errors import SettingInvalid
from control_plane.domain.intake import (
    REQUIRED,
    TARGETS,
    EventMeaning,
    FieldKind,
    FieldRule,
    IntakeRules,
    IntakeSource,
    LookRules,
    ReadBack,
    SourceKind,
)
from control_plane.domain.json_paths import JsonPath
from control_plane.domain.payloads import DOCUSIGN_ACCOUNT, DOCUSIGN_ENVELOPE, DOCUSIGN_EVENT

_KINDS: Final[Mapping[FieldKind, type]] = {
    FieldKind.TEXT: str,
    FieldKind.NUMBER: int,
    FieldKind.BOOLEAN: bool,
    FieldKind.INSTANT: str,
    FieldKind.LIST: list,
}


def parse_intake(document: Document) -> IntakeRules:
    """Return the intake rules.

    Raises ``SettingInvalid`` naming the place of what is unknown, missing or unreadable.
    """
    sources = document.content["sources"]
    return IntakeRules(
        digest=document.digest,
        sources={key: _source(document, key, entry) for key, entry in sources.items()},
        looks=_looks(document.content.get("looks", {})),
    )


def _looks(entry: Mapping[str, int]) -> LookRules:
    given = LookRules()
    return LookRules(
        every=_minutes(entry, "every_minutes", given.every),
        jitter=_minutes(entry, "jitter_minutes", given.jitter),
        overlap=_minutes(entry, "overlap_minutes", given.overlap),
        grace=_minutes(entry, "grace_minutes", given.grace),
        deal_life=_minutes(entry, "deal_hours", given.deal_life, minutes=60),
    )


def _minutes(
    entry: Mapping[str, int], name: str, default: timedelta, *, minutes: int = 1
) -> timedelta:
    return timedelta(minutes=entry[name] * minutes) if name in entry else default


def _read_back(
    document: Document, where: str, kind: SourceKind, entry: Mapping[str, Any]
) -> ReadBack | None:
    """Return how a source is asked, None if it is not."""
    given = entry.get("read_back")
    if given is None:
        return None
    place = f"{where}.read_back"
    for name in ("integration_key", "user"):
        if (name in given) != (kind is SourceKind.DOCUSIGN):
            reason = f"`{name}` belongs to docusign, which needs it, and to no other kind"
            raise document.refused(place, reason)
    try:
        url, since = require_https(given["url"]), spellings.instant(given["since"])
    except (ValueError, SettingInvalid) as error:
        raise document.refused(place, f"the url or since: {error}") from None
    return ReadBack(
        url=url, credential=given["credential"], since=since,
        client=given.get("integration_key"), user=given.get("user"),
    )  # fmt: skip


def _source(document: Document, key: str, entry: Mapping[str, Any]) -> IntakeSource:
    where = f"sources.{key}"
    kind = SourceKind(entry["kind"])
    account, envelope, event = _places(document, where, kind, entry)
    try:
        provider = spellings.provider(entry["provider"])
        accounts = tuple(spellings.identifier(each) for each in entry.get("accounts", ()))
    except ValueError as error:
        raise document.refused(where, f"the provider or an account {error}") from None
    if EventMeaning.SIGNED not in entry["events"].values():
        raise document.refused(f"{where}.events", "no event means signed, so nothing is taken")
    return IntakeSource(
        key=key,
        kind=kind,
        provider=provider,
        accounts=accounts if "accounts" in entry else None,
        keys=tuple(entry["keys"]),
        events={name: EventMeaning(meaning) for name, meaning in entry["events"].items()},
        account_path=account,
        envelope_path=envelope,
        event_path=event,
        fields=tuple(_fields(document, f"{where}.mapping", entry["mapping"])),
        read_back=_read_back(document, where, kind, entry),
    )


def _places(
    document: Document, where: str, kind: SourceKind, entry: Mapping[str, Any]
) -> tuple[JsonPath | None, JsonPath, JsonPath]:
    """Return where account, envelope and event are; those of DocuSign are always the same."""
    if kind is SourceKind.DOCUSIGN:
        for name in ("account", "envelope", "event"):
            if name in entry:
                raise document.refused(f"{where}.{name}", "is known of docusign: leave it out")
        if "accounts" not in entry:
            raise document.refused(where, "docusign needs `accounts`: name those that are yours")
        return DOCUSIGN_ACCOUNT, DOCUSIGN_ENVELOPE, DOCUSIGN_EVENT
    for name in ("envelope", "event"):
        if name not in entry:
            raise document.refused(where, f"{kind} needs `{name}`: the path where it is")
    if ("account" in entry) != ("accounts" in entry):
        raise document.refused(where, "`account` and `accounts` belong together: name both or none")
    account = _path(document, f"{where}.account", entry["account"]) if "account" in entry else None
    return (
        account,
        _path(document, f"{where}.envelope", entry["envelope"]),
        _path(document, f"{where}.event", entry["event"]),
    )


def _fields(
    document: Document, where: str, mapping: Mapping[str, Mapping[str, Any]]
) -> Iterator[FieldRule]:
    for target, entry in mapping.items():
        place = f"{where}.{target}"
        if target not in TARGETS:
            reason = f"{target} is not a field of a request{nearest(target, TARGETS)}"
            raise document.refused(place, reason)
        kind = TARGETS[target]
        if "separator" in entry and kind is not FieldKind.LIST:
            raise document.refused(place, "only a list has a separator")
        if "default" in entry and entry.get("required"):
            raise document.refused(place, "a required field takes no default")
        if "values" in entry and "from" not in entry:
            raise document.refused(place, "`values` translates what is there: name `from` as well")
        _require_kind(document, place, kind, entry)
        yield FieldRule(
            target=target,
            path=_path(document, f"{place}.from", entry["from"]) if "from" in entry else None,
            values=dict(entry["values"]) if "values" in entry else None,
            default=entry.get("default"),
            required=bool(entry.get("required", False)),
            separator=entry.get("separator", ","),
        )
    missing = sorted(REQUIRED - set(mapping))
    if missing:
        raise document.refused(where, f"{missing[0]} is missing: no request can be made without it")


def _require_kind(
    document: Document, place: str, kind: FieldKind, entry: Mapping[str, Any]
) -> None:
    """Refuse a default, or a value of a table, that the field cannot hold."""
    given = {
        **entry.get("values", {}),
        **({"default": entry["default"]} if "default" in entry else {}),
    }
    for name, value in given.items():
        is_right = isinstance(value, _KINDS[kind]) and isinstance(value, bool) == (
            kind is FieldKind.BOOLEAN
        )
        if not is_right:
            reason = (
                f"{value!r} of {name!r} is not a {kind}, which {place.rpartition('.')[2]} needs"
            )
            raise document.refused(place, reason)
    words = [text.casefold() for text in entry.get("values", {})]
    if len(set(words)) < len(words):
        raise document.refused(place, "two texts of `values` differ in upper and lower case alone")


def _path(document: Document, place: str, text: str) -> JsonPath:
    try:
        return JsonPath.read(text)
    except ValueError as error:
        raise document.refused(place, str(error)) from None
