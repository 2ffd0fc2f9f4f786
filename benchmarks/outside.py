"""Systems outside for benchmarks: stubs on loopback, each call of which takes 50 ms."""

from __future__ import annotations

import asyncio
import shutil
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import yaml
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

from control_plane.adapters.private_files import create_once
from control_plane.bootstrap import SOURCE
from tests.signed import ACCOUNT
from tests.systems import stub_hubspot, stub_slack, stub_zendesk
from tests.systems.stub import Api, Asked, Reply, served

CALL_SECONDS: Final = 0.05


@dataclass(frozen=True)
class Outside:
    """The rules that name the stubs, and what is needed to be let in by them."""

    rules: Path

    def install(self, folder: Path) -> None:
        """Install the credentials."""
        folder.mkdir(mode=0o700, exist_ok=True)
        for name, secret in (
            ("hubspot", stub_hubspot.TOKEN), ("slack", stub_slack.TOKEN),
            ("zendesk", stub_zendesk.TOKEN),
        ):  # fmt: skip
            create_once(folder / f"{name}.key", secret.encode())


@contextmanager
def outside(folder: Path) -> Iterator[Outside]:
    """Serve the stubs, and have rules in a folder that name them."""
    with ExitStack() as stack:
        crm = stack.enter_context(served(_slow(stub_hubspot.HubSpot())))
        chat = stack.enter_context(served(_slow(stub_slack.Slack())))
        tickets = stack.enter_context(served(_slow(stub_zendesk.Zendesk())))
        port = stack.enter_context(_mail_server())
        rules = folder / "rules"
        shutil.copytree(SOURCE / "rules", rules)
        file = rules / "systems.yaml"
        found = yaml.safe_load(file.read_text(encoding="utf-8"))
        found |= {
            "crm": {"system": "hubspot", "url": crm.url, "credential": "hubspot",
                    "contract_property": "contract_number"},
            "tickets": {"system": "zendesk", "url": tickets.url, "credential": "zendesk",
                        "email": stub_zendesk.EMAIL},
            "mail": {"system": "smtp", "host": "127.0.0.1", "port": port, "security": "plain"},
        }  # fmt: skip
        found["chat"]["slack"] = {"system": "slack", "url": chat.url, "credential": "slack"}
        file.write_text(yaml.safe_dump(found), encoding="utf-8")
        intake = rules / "intake.yaml"
        text = intake.read_text(encoding="utf-8")
        named = text.replace("accounts: []", f"accounts: [{ACCOUNT}]")
        intake.write_text(named, encoding="utf-8")
        yield Outside(rules)


def _slow(api: Api) -> Api:
    def answer(asked: Asked) -> Reply:
        time.sleep(CALL_SECONDS)  # the system at the other end takes its time
        return api(asked)

    return answer


class _Sink:
    """Takes every mail, and keeps none."""

    async def handle_DATA(self, _server: SMTP, _session: Session, _envelope: Envelope) -> str:  # noqa: N802 - the library's name
        await asyncio.sleep(CALL_SECONDS)  # as above
        return "250 2.0.0 Ok"


@contextmanager
def _mail_server() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as free:  # the library cannot take port 0
        port = int(free.getsockname()[1])
    controller = Controller(_Sink(), hostname="127.0.0.1", port=port)
    controller.start()
    try:
        yield port
    finally:
        controller.stop()
