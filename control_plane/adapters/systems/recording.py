"""Systems that only write down what they would do, in a folder that people can read.

A file appears whole or not at all, only this user reads it, and its name is derived from the
effect's key: asked for again, the effect is found. ``mail`` has three or four files for each mail,
``crm`` and ``tickets`` one for each customer, ``chat`` a folder for each channel.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from control_plane.adapters.private_files import create_once, sync_folder
from control_plane.domain.errors import InvalidInput
from control_plane.domain.system_errors import SystemRefused
from control_plane.ports.systems import Company, Invited, Mail, Ref, SignedDeal

SYSTEM: Final = "record"
_KEYS: Final = ".keys"
_LONGEST_WORDS: Final = 80  # bytes; a file's name has 255 at most


class _Recording:
    """What each of them has alike; ``_folder`` is its own."""

    system = SYSTEM
    _folder: Path

    def check(self) -> str:
        """Make the folder; returns what was found, in words."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return f"what it would do is written into {self._folder}"


class RecordingMailer(_Recording):
    """The port ``Mailer``: each mail as ``.eml``, with its text, HTML and invitation beside it."""

    is_exactly_once = True

    def __init__(self, folder: Path, *, now: Callable[[], datetime]) -> None:
        self._folder = folder / "mail"
        self._now = now

    def send(self, mail: Mail) -> str:
        """Write a mail down, once for each Message-ID; returns the end of its files' names.

        What is returned is kept and logged, so it is nobody's address.
        """
        from control_plane.adapters.systems import mime  # noqa: PLC0415 - for who writes mail

        at = self._now()
        message = mime.message_of(mail, system=SYSTEM, date=at)
        short = _short(mail.message_id)
        words = f"{_words(mail.recipient)} {_words(mail.subject)}"
        wanted = {"name": f"{at:%Y%m%dT%H%M%S.%fZ} {words} {short}"}
        # what names the files is decided first, so that a second attempt completes those of the
        # first one
        name = str(_once(self._folder / _KEYS / f"{short}.json", wanted)["name"])
        parts = {
            "txt": mail.text.encode(),
            "html": mail.html.encode() if mail.html is not None else None,
            "ics": mail.calendar.content.encode() if mail.calendar is not None else None,
            "eml": message.as_bytes(policy=mime.WRITTEN),
        }
        for ending, content in parts.items():
            if content is not None:
                _create(self._folder / f"{name}.{ending}", content)
        return short


class RecordingCrm(_Recording):
    """The port ``Crm``; what is in ``crm/won`` counts as a deal that was won."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "crm"

    def won_since(self, instant: datetime) -> Iterator[SignedDeal]:
        """Yield the deals in ``won``: JSON with id, contract_id, company and won_at."""
        deals = [_deal(file) for file in sorted((self._folder / "won").glob("*.json"))]
        yield from sorted(
            (deal for deal in deals if deal.won_at >= instant), key=lambda deal: deal.won_at
        )

    def upsert_company(self, company: Company) -> Ref:
        """Write a customer down."""
        return _upsert(self._folder, company)


class RecordingTickets(_Recording):
    """The port ``Tickets``."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "tickets"

    def upsert_organisation(self, company: Company) -> Ref:
        """Write an organisation down."""
        return _upsert(self._folder, company)


class RecordingChat(_Recording):
    """The port ``Chat``: a folder for each channel, with a file for each invitation."""

    def __init__(self, folder: Path, *, like: str, longest_name: int) -> None:
        self._folder = folder / "chat" / like
        self.longest_name = longest_name

    def open_channel(self, name: str, *, topic: str, key: str) -> Ref:
        """Write a channel down. Raises ``SystemRefused`` with ``name_taken``."""
        wanted = {"name": name, "key": key, "topic": topic}
        found = self.find_channel(key)
        if found is not None:
            return found
        folder = self._folder / _words(name)
        # before the channel: a process that dies in between leaves no channel that is not found
        self._note(key, folder.name)
        if _once(folder / "channel.json", wanted)["key"] != key:
            raise SystemRefused(
                f"another channel is named {name}", system=SYSTEM, reason="name_taken"
            )
        return Ref(id=folder.name, url=folder.as_uri())

    def find_channel(self, key: str) -> Ref | None:
        """Return the channel of a key."""
        if not (self._folder / _KEYS).is_dir():
            for each in self._folder.glob("*/channel.json"):  # made before there was an index
                self._note(_read(each)["key"], each.parent.name)
        try:
            file = self._folder / _read(self._index(key))["name"] / "channel.json"
            if _read(file)["key"] != key:  # the name was taken
                return None
        except FileNotFoundError:
            return None
        return Ref(id=file.parent.name, url=file.parent.as_uri(), created=False)

    def _index(self, key: str) -> Path:
        return self._folder / _KEYS / f"{_short(key)}.json"

    def _note(self, key: str, name: str) -> None:
        file = self._index(key)
        if not _create(file, _json({"name": name})):
            _replace(file, _json({"name": name}))

    def invite(self, channel_id: str, email: str, *, key: str) -> Invited:
        """Write an invitation down, once for each key."""
        folder = self._folder / _words(channel_id)
        if not (folder / "channel.json").is_file():
            raise SystemRefused("there is no such channel", system=SYSTEM, reason="not_found")
        file = folder / f"invitation {_short(key)}.json"
        found = _once(file, {"email": email, "key": key})
        return Invited(email=found["email"], id=_short(key), status="recorded")

    def close_channel(self, channel_id: str) -> None:
        """Write down that a channel is archived."""
        folder = self._folder / _words(channel_id)
        if folder.is_dir():
            _once(folder / "archived.json", {"archived": True})


def _upsert(folder: Path, company: Company) -> Ref:
    """Write a customer's file, with the whole of what is known now."""
    file = folder / f"{_words(company.slug)} {_words(company.key)}.json"
    facts = {
        "key": company.key, "name": company.name, "domain": company.domain,
        "country": company.country, "slug": company.slug, "contract_id": company.contract_id,
        "facts": dict(company.facts),
    }  # fmt: skip
    content = _json(facts)
    is_new = _create(file, content)
    if not is_new:
        _replace(file, content)
    return Ref(id=company.key, url=file.as_uri(), created=is_new)


def _deal(file: Path) -> SignedDeal:
    try:
        found = _read(file)
        return SignedDeal(
            id=str(found["id"]),
            contract_id=found.get("contract_id"),
            company=str(found["company"]),
            won_at=_aware(found["won_at"]),
            url=file.as_uri(),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise SystemRefused(
            f"the recorded deal {file.name} needs id, company and won_at (with its offset)",
            system=SYSTEM,
            reason="unreadable",
        ) from error


def _aware(text: str) -> datetime:
    found = datetime.fromisoformat(text)
    if found.tzinfo is None:
        raise ValueError("a time without its offset")
    return found


def _once(file: Path, content: dict[str, Any]) -> dict[str, Any]:
    """Write JSON unless the file is there; returns what it holds, which the first one decided."""
    _create(file, _json(content))
    return _read(file)


def _create(file: Path, content: bytes) -> bool:
    """Write a file unless it is there; tells whether it was written."""
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        create_once(file, content)
    except FileExistsError:
        return False
    return True


def _replace(file: Path, content: bytes) -> None:
    draft = file.with_name(f".{file.name}.{os.urandom(8).hex()}")
    create_once(draft, content)
    draft.replace(file)
    sync_folder(file.parent)


def _json(content: dict[str, Any]) -> bytes:
    return (json.dumps(content, ensure_ascii=False, indent=2) + "\n").encode()


def _read(file: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(file.read_text("utf-8"))
    return found


def _words(text: str) -> str:
    """Return a text as a part of a file's name: letters, digits and a few signs."""
    kept = re.sub(r"[^\w@.+-]+", "-", text).strip("-.")
    if not kept:
        raise InvalidInput("a name has a letter or a digit")
    return kept.encode()[:_LONGEST_WORDS].decode("utf-8", "ignore").rstrip("-.")


def _short(key: str) -> str:
    """Return what stands for a key in names of files."""
    return hashlib.sha256(key.encode()).hexdigest()[:24]
