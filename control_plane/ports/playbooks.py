"""Playbooks: those in force, and those that journeys began with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from control_plane.domain.playbook import KeptPlaybook, Playbook


class Playbooks(Protocol):
    """The playbooks of an installation."""

    def active(self) -> Sequence[Playbook]:
        """Return those in force, by key."""

    def kept(self, document: KeptPlaybook) -> Playbook:
        """Return the playbook of a document that was kept, also when it is not in force any more.

        Raises ``SettingInvalid`` when this release does not know a word of it.
        """
