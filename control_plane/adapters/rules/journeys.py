"""The playbooks of an installation: the folder's active documents, and those kept in rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from control_plane.adapters.rules.documents import Document, read_text, refused
from control_plane.adapters.rules.playbooks import parse_playbook
from control_plane.domain.playbook import KeptPlaybook, Playbook

FOLDER: Final = "playbooks"
_ACTIVE: Final = "active"


class FolderPlaybooks:
    """The port ``Playbooks``: documents of a folder, read once at start."""

    def __init__(self, active: Sequence[Playbook]) -> None:
        self._active = tuple(active)
        self._known: dict[str, Playbook] = {each.digest: each for each in active}

    def active(self) -> Sequence[Playbook]:
        """Return those in force, by key."""
        return self._active

    def kept(self, document: KeptPlaybook) -> Playbook:
        """Return the playbook of a document that was kept."""
        found = self._known.get(document.id)
        if found is None:
            found = self._known[document.id] = _parsed(document)
        return found


def load_playbooks(rules_folder: Path) -> FolderPlaybooks:
    """Return the playbooks of a rules folder; none where it has no folder of playbooks.

    Raises ``SettingInvalid`` for a document that is wrong, and for two in force with one key.
    """
    return FolderPlaybooks([parse_playbook(each) for each in read_playbooks(rules_folder)])


def read_playbooks(rules_folder: Path) -> Sequence[Document]:
    """Return the documents of playbooks that are in force, by key."""
    schema = rules_folder / "schemas" / "playbook.schema.json"
    found: Mapping[str, Document] = {}
    for file in sorted((rules_folder / FOLDER).glob("*.yaml")):
        document = read_text(file, schema)
        head = document.content["document"]
        if head["status"] != _ACTIVE:
            continue
        if head["key"] in found:
            other = found[head["key"]].file
            raise refused(file.name, "document.key", f"{other} is in force with that key")
        found = {**found, head["key"]: document}
    return tuple(found[key] for key in sorted(found))


def _parsed(document: KeptPlaybook) -> Playbook:
    name = f"{document.key}/{document.version}"
    return parse_playbook(Document(file=name, content=document.content, digest=document.id))
