"""`tenantctl template`: check the templates of messages, list them, and read one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final

import typer

from control_plane import config
from control_plane.cli import output
from control_plane.cli.refusing import Json
from control_plane.domain.errors import NotFound
from control_plane.domain.message import Channel

if TYPE_CHECKING:
    from control_plane.domain.message_rules import MessageRules

template = typer.Typer(no_args_is_help=True, help="Templates of messages: check and show them.")
TEMPLATES: Final = ("event", "persona", "class", "locales", "version", "digest")


@template.command()
def check(as_json: Json = False) -> None:
    """Check every template: languages, variables, markup, and what the playbooks send.

    What is wrong is named with its line (exit 2).
    """
    rules = _read()
    events = sorted({event for event, *_ in rules.templates})
    if as_json:
        output.as_json_text({"events": events, "locales": sorted(rules.words)})
        return
    output.say(
        f"{len(rules.templates)} templates of {len(events)} events are valid, in "
        f"{', '.join(sorted(rules.words))}"
    )


@template.command("list")
def list_templates(as_json: Json = False) -> None:
    """List events and personas, with the languages that their messages are written in."""
    from control_plane.domain.message_events import EVENTS  # noqa: PLC0415 - of this command alone

    rules = _read()
    rows = [
        {
            "event": event,
            "persona": persona,
            "class": str(EVENTS[event].message_class),
            "locales": sorted(each[3] for each in rules.templates if each[:2] == (event, persona)),
            "version": found.version,
            "digest": found.digest,
        }
        for (event, persona, _, locale), found in sorted(rules.templates.items())
        if locale == rules.locale
    ]
    output.table(rows, as_json=as_json, fields=TEMPLATES, empty="no templates")


@template.command()
def show(
    event: str,
    persona: str,
    locale: Annotated[str, typer.Option(help="Language, such as en.")] = "en",
    mode: Annotated[str, typer.Option(help="Mode of the example tenant: A, B or C.")] = "A",
    html: Annotated[bool, typer.Option("--html", help="Print its HTML.")] = False,
    as_json: Json = False,
) -> None:
    """Print a message of an event as somebody of an example tenant would get it."""
    from control_plane.adapters.rules.templates import samples  # noqa: PLC0415 - heavy

    rules = _read()
    found = rules.template(event, persona, Channel.EMAIL, locale)
    if found is None:
        raise NotFound(f"there is no template of {event} for {persona} in {locale}")
    given = [each for each in samples(rules, event, locale) if each["mode"] == mode]
    if not given:
        raise NotFound(f"there is no mode {mode}")
    rendered = found.render(given[-1])
    if as_json:
        output.as_json_text(
            {"template": found.name, "digest": found.digest, "subject": rendered.subject,
             "text": rendered.text, "html": rendered.html}
        )  # fmt: skip
    elif html:
        output.say(rendered.html)
    else:
        output.say(f"Subject: {rendered.subject}")
        output.say("")
        output.say(rendered.text.rstrip())


def _read() -> MessageRules:
    from control_plane.adapters.rules.documents import found_folder  # noqa: PLC0415 - as below
    from control_plane.adapters.rules.loader import load_rules  # noqa: PLC0415 - heavy

    return load_rules(found_folder(config.load().rules_folder)).messages
