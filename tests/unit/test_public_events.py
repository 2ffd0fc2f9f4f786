"""The catalogue of public events is closed, documented, and made of what the log may hold."""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise

import jsonschema
import pytest

from control_plane.domain.audit_catalogue import ACTIONS, DataKind
from control_plane.domain.errors import IllegalTransition
from control_plane.domain.public_events import PUBLIC_TYPES, PublicType
from control_plane.domain.subscription import (
    LONGEST_PAUSE,
    PAUSES,
    SUBSCRIPTION_TRANSITIONS,
    SubscriptionStatus,
    pause_after,
)
from control_plane.domain.transitions import move
from tools.draw_events import PAGE, page

SHAPES = {DataKind.TEXT: "text", DataKind.INTEGER: "number", DataKind.BOOLEAN: "flag",
          DataKind.TEXTS: "texts"}  # fmt: skip
MADE = [kind for kind in PUBLIC_TYPES.values() if kind.action is not None]


def test_the_page_has_the_types_of_the_code() -> None:
    present = PAGE.read_text(encoding="utf-8")
    assert present == page(present)


@pytest.mark.parametrize("kind", PUBLIC_TYPES.values(), ids=PUBLIC_TYPES)
def test_each_type_has_a_schema_that_knows_its_fields(kind: PublicType) -> None:
    jsonschema.Draft202012Validator.check_schema(kind.schema())
    assert set(kind.always) <= set(kind.fields)


@pytest.mark.parametrize("kind", MADE, ids=lambda kind: kind.name)
def test_data_is_that_of_the_audit_event_or_names_its_target(kind: PublicType) -> None:
    action = ACTIONS[kind.action or ""]
    assert kind.stage in action.stages
    for name, shape in kind.fields.items():
        if name not in kind.targets and name != "run":
            assert SHAPES[action.data[name]] == shape, name
        assert name not in action.personal


def test_attempts_are_later_each_time_and_end_after_three_days() -> None:
    assert all(before < after for before, after in pairwise(PAUSES))
    assert timedelta(days=3) < sum(PAUSES, timedelta()) < timedelta(days=4)
    assert pause_after(len(PAUSES), None) == PAUSES[-1]
    assert pause_after(len(PAUSES) + 1, timedelta(hours=1)) is None
    assert pause_after(1, timedelta(seconds=1)) == PAUSES[0]
    assert pause_after(1, timedelta(days=9)) == LONGEST_PAUSE


@pytest.mark.parametrize("current", SubscriptionStatus)
@pytest.mark.parametrize("target", SubscriptionStatus)
def test_a_subscription_moves_as_its_table_says(
    current: SubscriptionStatus, target: SubscriptionStatus
) -> None:
    """It has no end: one that is removed is deleted."""
    between = {current, target} - {SubscriptionStatus.ACTIVE}
    if current is not target and len(between) == 1:
        move(SUBSCRIPTION_TRANSITIONS, current, target, subject="sub_1")
        return
    with pytest.raises(IllegalTransition):
        move(SUBSCRIPTION_TRANSITIONS, current, target, subject="sub_1")
