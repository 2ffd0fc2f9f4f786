"""Scenes of use cases about keys of approvers."""

from __future__ import annotations

from collections.abc import Callable

from control_plane.services import approver_keys
from control_plane.services.performing import perform
from tests.approver_hands import Hand, enrolled
from tests.workflows.use_case_scenes import Act, Scene

Prepare = Callable[[Scene], Act]


def enroll_key(hand: Hand, times: int = 1) -> Prepare:
    """Enroll somebody's key, for the last of so many times."""

    def prepare(scene: Scene) -> Act:
        for _ in range(times - 1):
            hand.enroll(scene)
        return lambda: hand.enroll(scene)

    return prepare


def confirm_key(hand: Hand, other: Hand) -> Prepare:
    """Confirm somebody's key with another one, where no key is confirmed yet."""

    def prepare(scene: Scene) -> Act:
        for each in (hand, other):
            each.enroll(scene)
        return lambda: hand.confirm(scene, other)

    return prepare


def revoke_key(hand: Hand, other: Hand) -> Prepare:
    """Revoke somebody's key as somebody else, or as its owner."""

    def prepare(scene: Scene) -> Act:
        enrolled(scene, *dict.fromkeys((hand, other)))
        (key,) = (
            each for each in scene.rows("approver_key").values() if each.actor_id == other.name
        )
        return lambda: perform(
            scene.core, hand.who, approver_keys.revoke_key, key.id, reason="it was lost"
        )

    return prepare
