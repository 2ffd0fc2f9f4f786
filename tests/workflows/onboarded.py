"""A tenant whose steps of onboarding are walked by those who look after it."""

from __future__ import annotations

from typing import Any, Self

from control_plane.services import onboarding_steps as service
from control_plane.services.performing import perform
from tests.onboarding import Holder
from tests.onboarding_answers import answers_to
from tests.world import ARCHITECT, World


class Walk:
    """The first tenant of a world, or another one; answers are those of the first company."""

    def __init__(self, world: World, mode: str = "A", holder: Holder | None = None) -> None:
        self.world = world
        self.mode = mode
        self.holder = holder or Holder(world, mode)
        self.tenant_id: str = self.holder.tenant_id
        self.company: str = world.rows("tenant")[self.tenant_id].domain

    @classmethod
    def of(cls, world: World, tenant_id: str) -> Self:
        """Return the walk of a tenant that is there."""
        return cls(world, holder=Holder.of(world, tenant_id))

    def state(self, key: str) -> Any:
        return perform(self.world.core, ARCHITECT, service.get_step, self.tenant_id, key).state

    def save(self, key: str, version: int | None = None, **changes: Any) -> Any:
        given = {**answers_to(key, mode=self.mode, company=self.company), **changes}
        answers = {name: value for name, value in given.items() if value is not None}
        return perform(
            self.world.core, ARCHITECT, service.save_step, self.tenant_id, key, answers=answers,
            version=self.state(key).version if version is None else version,
        ).state  # fmt: skip

    def complete(self, key: str) -> Any:
        return perform(
            self.world.core, ARCHITECT, service.complete_step, self.tenant_id, key,
            version=self.state(key).version,
        ).state  # fmt: skip

    def reopen(self, key: str, *resets: str, reason: str = "it changed") -> Any:
        return perform(
            self.world.core, ARCHITECT, service.reopen_step, self.tenant_id, key, resets=resets,
            version=self.state(key).version, reason=reason,
        ).state  # fmt: skip

    def do(self, *keys: str) -> None:
        for key in keys:
            self.save(key)
            self.complete(key)

    def statuses(self) -> dict[str, str]:
        found = perform(self.world.core, ARCHITECT, service.list_steps, self.tenant_id)
        return {each.rule.key: str(each.status) for each in found.steps}
