"""A world in which something is said to somebody."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from control_plane.domain.message import Message, Recipient
from control_plane.ports.systems import Systems
from control_plane.workflows.outbox import post
from control_plane.workflows.timers import fire_due
from tests.scripted_mailer import ScriptedMailer
from tests.world import World


class Died(BaseException):
    """The process ends here."""


class Sender:
    """A tenant of which something can be said."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.tenant_id = world.submit().tenant.id
        self.mailer = ScriptedMailer()

    def post(self, key: str = "key-1", **given: Any) -> Message:
        facts = {
            "event": "step.blocked", "persona": "it_admin",
            "recipient": Recipient(name="Ida Admin", email="ida@example.com", locale="it"),
            "data": {"step_title": "Single sign-on", "missing": "the metadata"}, **given,
        }  # fmt: skip
        with self.world.core.act() as act:
            tenant = act.uow.tenants.need(self.tenant_id)
            message = post(act, tenant=tenant, dedupe_key=key, **facts)
            act.uow.commit()
        return message

    def with_mail(self, mailer: ScriptedMailer | None = None) -> ScriptedMailer:
        """Let this installation send mail."""
        self.mailer = mailer or self.mailer
        self.world.core = replace(self.world.core, systems=Systems(mailer=self.mailer))
        return self.mailer

    def later(self, **units: float) -> None:
        """Let time pass, and do what falls due and follows."""
        self.later_without_work(**units)
        self.world.work()

    def later_without_work(self, **units: float) -> None:
        """Let time pass, and do what falls due."""
        self.world.clock.advance(**units)
        while fire_due(self.world.core):
            pass

    def row(self, message: Message) -> Message:
        found: Message = self.world.rows("message")[message.id]
        return found

    def sent(self, key: str = "key-1", **given: Any) -> Message:
        """Post a message, let a worker take it, and return what became of it."""
        message = self.post(key, **given)
        self.world.work()
        return self.row(message)
