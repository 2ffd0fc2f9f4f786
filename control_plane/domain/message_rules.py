"""The rules of messages: brand and sender, words of each language, limits, and the templates."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Final

from control_plane.domain.calendars.moments import wall_of
from control_plane.domain.message import Channel

EVERYONE: Final = "everyone"  # a template for each persona that has none of its own


@dataclass(frozen=True, kw_only=True)
class Rendered:
    """A message as its recipient sees it."""

    subject: str
    text: str
    html: str


@dataclass(frozen=True, kw_only=True)
class Template:
    """How a message of an event is written for a persona in a language.

    ``render`` takes the variables; it raises ``TemplateFailed``.
    """

    event: str
    persona: str
    locale: str
    version: int
    digest: str
    render: Callable[[Mapping[str, Any]], Rendered]

    @property
    def name(self) -> str:
        """The document and its version, as rows hold it."""
        return f"{self.event}/{self.version}"


@dataclass(frozen=True, kw_only=True)
class Words:
    """What a language calls things, and the countries whose companies are written to in it.

    ``hub`` says by mode where a tenant's Hub stands at Day 0.
    """

    months: tuple[str, ...]
    countries: frozenset[str]
    date_form: str
    moment_form: str
    roles: Mapping[str, str]
    hub: Mapping[str, str]
    prerequisites: tuple[str, ...]
    portal_steps: Mapping[str, tuple[str, ...]]

    def day(self, day: date) -> str:
        """Return a date as this language writes it."""
        return self.date_form.format(day=day.day, month=self.months[day.month - 1], year=day.year)

    def instant(self, moment: datetime, zone: str) -> str:
        """Return an instant by the clocks of a time zone, which it names."""
        wall = wall_of(moment, zone)
        return self.moment_form.format(date=self.day(wall.date()), time=f"{wall:%H:%M}", zone=zone)


@dataclass(frozen=True, kw_only=True)
class Pauses:
    """How often sending is tried: pauses double from the first one to the longest."""

    attempts: int
    first: timedelta
    longest: timedelta

    def after(self, attempts: int) -> timedelta:
        """Return the pause after a number of attempts."""
        doublings = min(max(attempts - 1, 0), 20)
        return min(self.first * (1 << doublings), self.longest)


@dataclass(frozen=True, kw_only=True)
class MessageRules:
    """The document ``messages`` and the templates.

    ``daily_cap`` is how many messages that are not transactional somebody gets in 24 hours;
    through day ``quiet_days`` of a tenant nothing commercial is sent. Templates are found by
    event, persona, channel and locale.
    """

    digest: str
    brand: str
    sender: str
    sender_domain: str
    reply_to: str | None
    locale: str
    words: Mapping[str, Words]
    daily_cap: int
    quiet_days: int
    pauses: Pauses
    templates: Mapping[tuple[str, str, Channel, str], Template]

    def template(self, event: str, persona: str, channel: Channel, locale: str) -> Template | None:
        """Return the template for a persona, or the one for everyone."""
        return self.templates.get((event, persona, channel, locale)) or self.templates.get(
            (event, EVERYONE, channel, locale)
        )

    def of_country(self, country: str) -> str | None:
        """Return the language that a country's companies are written to in, if any is named."""
        found = (name for name, words in self.words.items() if country in words.countries)
        return next(found, None)

    def spoken(self, *wanted: str | None) -> str:
        """Return the first language of those wanted that messages are written in.

        ``de-AT`` is understood as ``de``. Without any it is that of the installation.
        """
        for each in wanted:
            language = (each or "").replace("_", "-").casefold().partition("-")[0]
            if language in self.words:
                return language
        return self.locale
