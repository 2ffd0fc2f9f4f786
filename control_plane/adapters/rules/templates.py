"""Templates of messages: documents that people edit, refused with the line of what is wrong.

They are Jinja2 in a sandbox. A name that the event does not have is an error, when a template is
read and when a mail is made.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from itertools import product
from typing import Any, Final

from jinja2 import StrictUndefined, TemplateError, TemplateSyntaxError, meta, nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment

from control_plane.adapters.rules.documents import Document, nearest, refused
from control_plane.adapters.rules.mail_html import as_html, as_text, blocks_of, framed
from control_plane.domain.errors import SettingInvalid
from control_plane.domain.message import Channel
from control_plane.domain.message_errors import TemplateFailed
from control_plane.domain.message_events import ALWAYS, EVENTS, PERSONAS
from control_plane.domain.message_rules import EVERYONE, MessageRules, Rendered, Template
from control_plane.domain.message_variables import MessageFacts, is_instant, variables

Key = tuple[str, str, Channel, str]
_LONGEST_SUBJECT: Final = 200  # characters
_PARTS: Final = ("subject", "text", "html")
_SAMPLE_DAY: Final = datetime(2026, 11, 23, 14, 3, tzinfo=UTC)


def _environment(*, escapes: bool) -> ImmutableSandboxedEnvironment:
    return ImmutableSandboxedEnvironment(
        undefined=StrictUndefined, autoescape=escapes, trim_blocks=True, lstrip_blocks=True
    )


_PLAIN: Final = _environment(escapes=False)
_MARKUP: Final = _environment(escapes=True)


def parse_templates(document: Document, locales: Iterable[str]) -> dict[Key, Template]:
    """Return the templates of one event, each persona's in every language.

    Raises ``SettingInvalid`` for an event, persona or variable that is unknown, a language that is
    missing or unknown, markup that is broken, and a secret that is missing or in a subject.
    """
    head, known = document.content["document"], tuple(locales)
    event = head["key"]
    if event not in EVENTS:
        raise document.refused(
            "document.key", f"there is no event {event!r}{nearest(event, EVENTS)}"
        )
    if document.file != f"{event}.yaml":
        raise document.refused("document.key", f"it is in {document.file}, not in {event}.yaml")
    if head["status"] != "active":
        reason = f"a document that is {head['status']} is not in force"
        raise document.refused("document.status", reason)
    channel = Channel(document.content["channel"])
    found: dict[Key, Template] = {}
    for persona, written in document.content["personas"].items():
        at = f"personas.{persona}"
        if persona != EVERYONE and persona not in PERSONAS:
            reason = f"there is no persona {persona!r}{nearest(persona, (*PERSONAS, EVERYONE))}"
            raise document.refused(at, reason)
        for locale in written:
            if locale not in known:
                reason = f"messages.yaml has no language {locale!r}{nearest(locale, known)}"
                raise document.refused(f"{at}.{locale}", reason)
        for locale in known:
            if locale not in written:
                raise document.refused(at, f"the language {locale} is missing")
            found[event, persona, channel, locale] = Template(
                event=event,
                persona=persona,
                locale=locale,
                version=head["version"],
                digest=document.digest,
                render=_renderer(document, f"{at}.{locale}", event, locale, written[locale]),
            )
    return found


def _renderer(
    document: Document, at: str, event: str, locale: str, written: Mapping[str, str]
) -> Callable[[Mapping[str, Any]], Rendered]:
    """Return what makes a mail. Raises ``SettingInvalid`` for a part that cannot be right."""
    _require_names(document, at, event, written)
    subject, text = (_PLAIN.from_string(written[part]) for part in ("subject", "text"))
    html = _MARKUP.from_string(written["html"]) if "html" in written else None

    def render(given: Mapping[str, Any]) -> Rendered:
        try:
            title = " ".join(subject.render(given).split())[:_LONGEST_SUBJECT]
            blocks = blocks_of(text.render(given), _links(given))
            markup = html.render(given) if html else as_html(blocks)
        except (TemplateError, ArithmeticError, LookupError, TypeError, ValueError) as error:
            raise TemplateFailed(f"{event} ({locale}): {error}", template=event) from error
        page = framed(markup, subject=title, brand=str(given["brand"]), locale=locale)
        return Rendered(subject=title, text=as_text(blocks), html=page)

    return render


def _links(given: Mapping[str, Any]) -> list[str]:
    """Return the values that may become links: those of variables that are addresses."""
    return [
        value
        for name, value in given.items()
        if (name == "link" or name.endswith("_url")) and str(value).startswith("https://")
    ]


def _require_names(document: Document, at: str, event: str, written: Mapping[str, str]) -> None:
    known, used = EVENTS[event], set[str]()
    names = (*ALWAYS, *known.takes, *known.may_take, *known.secrets)
    for part in _PARTS:
        if part not in written:
            continue
        where = f"{at}.{part}"
        try:
            tree = _PLAIN.parse(written[part])
        except TemplateSyntaxError as error:
            raise _refused(
                document, where, written[part], str(error.message), error.lineno
            ) from error
        asked = meta.find_undeclared_variables(tree)
        for node in tree.find_all(nodes.Name):
            if node.name in asked and node.name not in names:
                reason = f"{event} has no {node.name!r}{nearest(node.name, names)}"
                raise _refused(document, where, written[part], reason, node.lineno)
            if part == "subject" and node.name in known.secrets:
                reason = f"{node.name} is secret, and a subject is not"
                raise _refused(document, where, written[part], reason, node.lineno)
        used |= asked if part == "text" else set()
    for name in known.secrets:
        if name not in used:
            raise document.refused(f"{at}.text", f"it does not show {name!r}, which it is sent for")


def _refused(document: Document, where: str, text: str, reason: str, line: int) -> SettingInvalid:
    """Return a refusal with the line inside a block of text, which begins after its ``|``."""
    begins = document.lines.get(where, 0)
    return refused(document.file, where, reason, line=begins + line if "\n" in text else begins)


# --- with the rules ----------------------------------------------------------------------------
def require_printable(document: Document, rules: MessageRules) -> None:
    """Make each mail of a document once for every mode, with all and with only needed facts.

    Raises ``SettingInvalid`` for one that cannot be made, or has no subject or text.
    """
    event = document.content["document"]["key"]
    channel = Channel(document.content["channel"])
    for persona, locale in product(document.content["personas"], rules.words):
        template = rules.templates[event, persona, channel, locale]
        for given in samples(rules, event, locale):
            try:
                rendered = template.render(given)
            except TemplateFailed as error:
                raise document.refused(f"personas.{persona}.{locale}", error.message) from error
            if not rendered.subject or not rendered.text.strip():
                raise document.refused(f"personas.{persona}.{locale}", "subject or text is empty")


def samples(rules: MessageRules, event: str, locale: str) -> Iterator[dict[str, Any]]:
    """Yield variables as messages of an event have them: in each mode, with all facts and few."""
    known = EVENTS[event]
    every = (*known.takes, *known.may_take)
    for mode, names in product(("A", "B", "C", None), (known.takes, every)):
        data = {
            name: _SAMPLE_DAY.isoformat() if is_instant(name) else f"[{name}]" for name in names
        }
        facts = MessageFacts(
            company="Example S.p.A.", slug="example", mode=mode, region="eu-west-1",
            zone="Europe/Rome", signed_at=_SAMPLE_DAY, day=0,
            contacts=(("executive_sponsor", "Eva Example"), ("it_admin", "Ida Example")),
        )  # fmt: skip
        yield variables(
            rules, locale, facts, event=event, recipient="Ida Example",
            data=data, secrets={name: f"[{name}]" for name in known.secrets},
        )  # fmt: skip


def require_messages(document: Document, rules: MessageRules) -> None:
    """Require of a playbook that each message which it sends has a template.

    Raises ``SettingInvalid`` with the line of the step.
    """
    events = sorted({event for event, *_ in rules.templates})
    for index, step in enumerate(document.content["steps"]):
        if step.get("action") != "message.send":
            continue
        where, given = f"steps.{index}.with", step["with"]
        event, persona = given["event"], given["persona"]
        channel = given.get("channel", "email")
        if event not in events:
            reason = f"no template is about {event!r}{nearest(event, events)}"
            raise document.refused(f"{where}.event", reason)
        if channel not in list(Channel):
            reason = f"there is no channel {channel!r}{nearest(channel, list(Channel))}"
            raise document.refused(f"{where}.channel", reason)
        if rules.template(event, persona, Channel(channel), rules.locale) is None:
            written = [who for about, who, *_ in rules.templates if about == event]
            reason = f"no template of {event} is for {persona!r}{nearest(persona, written)}"
            raise document.refused(f"{where}.persona", reason)
