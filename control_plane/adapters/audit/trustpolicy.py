"""Trust policies: whose checkpoints count, and which witnesses must have seen them.

The syntax is that of c2sp.org/tlog-policy. Refused besides are what is not UTF-8 and keys of other
algorithms than Ed25519, which nothing here could verify.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from control_plane.adapters.audit.cosignature import Cosignature, WitnessKey
from control_plane.adapters.audit.note import MAX_SIGNATURES, NoteInvalid, VerifierKey
from control_plane.domain.addresses import parse_target
from control_plane.domain.errors import SettingInvalid
from control_plane.domain.event_errors import UrlRefused

NONE: Final = "none"
MAX_BYTES: Final = 64 * 1024
MAX_WITNESSES: Final = MAX_SIGNATURES - 1  # a note has the log's signature too
_MAX_LOGS: Final = 64
_MAX_GROUPS: Final = 64
_SPACE: Final = re.compile(r"[ \t]+")
_CONTROL: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
_COUNT: Final = re.compile(r"[1-9][0-9]{0,2}")


_Take = Callable[[list[str]], bool]


class PolicyInvalid(ValueError):
    """A trust policy cannot be used; the sentence names the line, where there is one."""


@dataclass(frozen=True, kw_only=True)
class Witness:
    """A witness by its name in the policy; ``url`` is the prefix that checkpoints are posted to."""

    name: str
    key: WitnessKey
    url: str | None


@dataclass(frozen=True, kw_only=True)
class Group:
    """``least`` of the members, witnesses or groups, must have cosigned."""

    name: str
    least: int
    members: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class TrustPolicy:
    """A policy that was read; ``quorum`` names a witness or group, or is ``none``."""

    logs: tuple[VerifierKey, ...]
    witnesses: tuple[Witness, ...]
    groups: tuple[Group, ...]
    quorum: str

    @property
    def has_quorum_rule(self) -> bool:
        """Whether any witness must have cosigned."""
        return self.quorum != NONE

    @property
    def keys(self) -> tuple[WitnessKey, ...]:
        """The keys of the witnesses."""
        return tuple(item.key for item in self.witnesses)

    def is_quorum(self, names: Collection[str]) -> bool:
        """Tell whether the witnesses of these names are enough."""
        found = set(names) & {item.name for item in self.witnesses}
        for group in self.groups:  # members come before it
            if len(found.intersection(group.members)) >= group.least:
                found.add(group.name)
        return self.quorum == NONE or self.quorum in found

    def quorum_time(self, cosignatures: Sequence[Cosignature]) -> datetime | None:
        """Return the newest time by which a quorum had seen a checkpoint, None without one.

        That is the time since which all cosignatures of one quorum are at least as new. Without a
        rule there is none.
        """
        if self.quorum == NONE:
            return None
        names = {item.key.id.hex(): item.name for item in self.witnesses}
        seen: set[str] = set()
        for item in sorted(cosignatures, key=lambda each: each.time, reverse=True):
            if item.key_id in names:
                seen.add(names[item.key_id])
                if self.is_quorum(seen):
                    return item.time
        return None

    def lines(self) -> list[str]:
        """Return the lines of witnesses, groups and quorum, without URLs: for a dossier."""
        return [
            *(f"witness {item.name} {item.key}" for item in self.witnesses),
            *(f"group {item.name} {item.least} {' '.join(item.members)}" for item in self.groups),
            f"quorum {self.quorum}",
        ]


def load_policy(path: Path, setting: str) -> TrustPolicy:
    """Read the file that a setting names. Raises ``SettingInvalid``."""
    try:
        content = path.read_bytes()[: MAX_BYTES + 1]
    except OSError as error:
        raise SettingInvalid(f"{setting}: {path} cannot be read ({error.strerror})") from error
    try:
        return parse_policy(content)
    except PolicyInvalid as error:
        raise SettingInvalid(f"{setting}: {path}: {error}") from error


def parse_policy(content: bytes) -> TrustPolicy:
    """Read a policy. Raises ``PolicyInvalid``."""
    if len(content) > MAX_BYTES:
        raise PolicyInvalid(f"a policy has at most {MAX_BYTES // 1024} KiB")
    reader = _Reader()
    for number, line in enumerate(content.split(b"\n"), 1):
        try:
            reader.take(line)
        except (PolicyInvalid, NoteInvalid, UrlRefused) as error:
            raise PolicyInvalid(f"line {number}: {error}") from error
    return reader.finish()


class _Reader:
    """The lines of a policy, one after the other."""

    def __init__(self) -> None:
        self._logs: list[VerifierKey] = []
        self._witnesses: list[Witness] = []
        self._groups: list[Group] = []
        self._quorum: str | None = None
        self._names: set[str] = {NONE}
        self._grouped: set[str] = set()  # names that are members of a group already
        self._kinds: Mapping[str, tuple[str, _Take]] = {
            "log": ("log VKEY [URL]", self._log),
            "witness": ("witness NAME VKEY [URL]", self._witness),
            "group": ("group NAME all|any|K MEMBER…", self._group),
            "quorum": ("quorum NAME|none", self._take_quorum),
        }

    def take(self, line: bytes) -> None:
        try:
            text = line.decode()
        except UnicodeDecodeError:
            raise PolicyInvalid("it is not UTF-8") from None
        if _CONTROL.search(text):
            raise PolicyInvalid("it holds a control character; lines end in a newline alone")
        text = text.strip(" \t")
        if not text or text.startswith("#"):
            return
        word, *rest = _SPACE.split(text)
        if word not in self._kinds:
            raise PolicyInvalid(f"it begins with {word[:40]!r}, not with one of "
                                f"{', '.join(self._kinds)}")  # fmt: skip
        form, take = self._kinds[word]
        if not take(rest):
            raise PolicyInvalid(f"its form is: {form}")

    def finish(self) -> TrustPolicy:
        if self._quorum is None:
            raise PolicyInvalid("a line `quorum NAME` is missing; `quorum none` needs no witness")
        return TrustPolicy(
            logs=tuple(self._logs), witnesses=tuple(self._witnesses), groups=tuple(self._groups),
            quorum=self._quorum,
        )  # fmt: skip

    def _log(self, rest: list[str]) -> bool:
        if len(rest) not in {1, 2}:
            return False
        key = VerifierKey.parse(rest[0])
        # the same key under two names is one log to C2SP; here one key signs every tree
        if key in self._logs:
            raise PolicyInvalid("this log is named already")
        if len(self._logs) == _MAX_LOGS:
            raise PolicyInvalid(f"a policy has at most {_MAX_LOGS} logs")
        self._logs.append(key)
        return True

    def _witness(self, rest: list[str]) -> bool:
        if len(rest) not in {2, 3}:
            return False
        name, url = self._new_name(rest[0]), rest[2].rstrip("/") if len(rest) == 3 else None
        key = WitnessKey.parse(rest[1])
        twin = next((w for w in self._witnesses if w.key.public_key == key.public_key), None)
        if twin is not None:
            raise PolicyInvalid(f"its key is that of {twin.name}, which would count twice")
        if len(self._witnesses) == MAX_WITNESSES:
            raise PolicyInvalid(f"a policy has at most {MAX_WITNESSES} witnesses")
        if url is not None:
            parse_target(url, loopback=True)
        self._witnesses.append(Witness(name=name, key=key, url=url))
        return True

    def _group(self, rest: list[str]) -> bool:
        if len(rest) < 3:
            return False
        name, count, members = self._new_name(rest[0]), rest[1], rest[2:]
        for member in members:
            if member in {NONE, name} or member not in self._names:
                raise PolicyInvalid(f"{member!r} is not a witness or group of the lines before it")
            if member in self._grouped:
                raise PolicyInvalid(f"{member!r} is a member of a group already")
            self._grouped.add(member)
        least = {"all": len(members), "any": 1}.get(count)
        if least is None:
            least = int(count) if _COUNT.fullmatch(count) else 0
        if not 1 <= least <= len(members):
            raise PolicyInvalid(f"a group says all, any, or a number from 1 to {len(members)}")
        if len(self._groups) == _MAX_GROUPS:
            raise PolicyInvalid(f"a policy has at most {_MAX_GROUPS} groups")
        self._groups.append(Group(name=name, least=least, members=tuple(members)))
        return True

    def _take_quorum(self, rest: list[str]) -> bool:
        if len(rest) != 1:
            return False
        if self._quorum is not None:
            raise PolicyInvalid("there is a quorum line already")
        if rest[0] not in self._names:
            raise PolicyInvalid(f"{rest[0]!r} is not a witness or group of the lines before it")
        self._quorum = rest[0]
        return True

    def _new_name(self, name: str) -> str:
        if name in self._names:
            raise PolicyInvalid(f"the name {name!r} is taken")
        self._names.add(name)
        return name
