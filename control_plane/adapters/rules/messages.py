"""From the document ``messages`` to the rules of messages: what no schema can say is refused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from email.utils import parseaddr
from pathlib import Path
from typing import Any, Final

from control_plane.adapters.rules.documents import Document, read_text
from control_plane.adapters.rules.templates import (
    Key,
    parse_templates,
    require_messages,
    require_printable,
)
from control_plane.domain.actions import OWNERS
from control_plane.domain.message_rules import MessageRules, Pauses, Template, Words

_MODES: Final = ("A", "B", "C", "unknown")
_FOLDER: Final = "templates"


def read_templates(folder: Path) -> tuple[Document, ...]:
    """Return the documents of the templates in the rules folder, in the order of their names.

    Raises ``SettingInvalid``.
    """
    schema = folder / "schemas" / "template.schema.json"
    return tuple(read_text(file, schema) for file in sorted((folder / _FOLDER).glob("*.yaml")))


def parse_messages(
    document: Document, templates: Sequence[Document], playbooks: Sequence[Document]
) -> MessageRules:
    """Return the rules of messages; every message that a playbook sends must have a template.

    Raises ``SettingInvalid`` with one sentence that names file, line and what is wrong.
    """
    content = document.content
    if content["locale"] not in content["words"]:
        raise document.refused("locale", f"{content['locale']} is not a language of `words`")
    found: dict[Key, Template] = {}
    for each in templates:
        found.update(parse_templates(each, content["words"]))
    sender = parseaddr(content["sender"])[1]
    retries = content["retries"]
    rules = MessageRules(
        digest=document.digest,
        brand=content["brand"],
        sender=content["sender"],
        sender_domain=sender.rpartition("@")[2],
        reply_to=content.get("reply_to"),
        locale=content["locale"],
        words={
            locale: _words(document, locale, entry) for locale, entry in content["words"].items()
        },
        daily_cap=content["limits"]["a_day"],
        quiet_days=content["limits"]["nothing_commercial_through_day"],
        pauses=Pauses(
            attempts=retries["attempts"],
            first=timedelta(seconds=retries["first_pause_seconds"]),
            longest=timedelta(seconds=retries["longest_pause_seconds"]),
        ),
        templates=found,
    )
    if not sender or not rules.sender_domain:
        raise document.refused("sender", "it holds no address")
    for each in templates:
        require_printable(each, rules)
    for each in playbooks:
        require_messages(each, rules)
    return rules


def _words(document: Document, locale: str, entry: Mapping[str, Any]) -> Words:
    content, at = document.content, f"words.{locale}"
    for name in ("date", "moment"):
        given = {"day": 1, "month": "m", "year": 2026, "date": "d", "time": "t", "zone": "z"}
        try:
            entry[name].format(**given)
        except (KeyError, IndexError, ValueError) as error:
            raise document.refused(f"{at}.{name}", f"{error} cannot be filled in") from error
    customers = [role for role in OWNERS if role in entry["roles"]]
    missing = [role for role in ("executive_sponsor", "it_admin") if role not in customers]
    if missing:
        raise document.refused(f"{at}.roles", f"{', '.join(missing)} is missing")
    return Words(
        months=tuple(entry["months"]),
        countries=frozenset(entry["countries"]),
        date_form=entry["date"],
        moment_form=entry["moment"],
        roles=entry["roles"],
        hub=entry["hub"],
        prerequisites=tuple(
            _said(document, f"prerequisites.{index}", each, locale)
            for index, each in enumerate(content["prerequisites"])
        ),
        portal_steps={mode: _steps(document, mode, locale) for mode in _MODES},
    )


def _steps(document: Document, mode: str, locale: str) -> tuple[str, ...]:
    """Return the portal's steps of a mode; before it is known, those that all modes have alike."""
    found = []
    for index, step in enumerate(document.content["portal_steps"]):
        at, says = f"portal_steps.{index}", step["says"]
        if "modes" in step:
            if mode in step["modes"]:
                at = f"{at}.modes.{mode}"
                found.append(_said(document, at, step["modes"][mode], locale))
            elif mode == "unknown":
                found.append(_said(document, f"{at}.says", says, locale))
            continue
        found.append(_said(document, f"{at}.says", says, locale))
    return tuple(found)


def _said(document: Document, at: str, says: Mapping[str, str], locale: str) -> str:
    if locale not in says:
        raise document.refused(at, f"the language {locale} is missing")
    return says[locale]
