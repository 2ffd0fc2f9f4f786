"""``python -m api``: the API process."""

from __future__ import annotations

import gc
import os
import sys
import threading
import time
from typing import Final

from api.app import create_app
from api.auth import Identity
from api.claims import PERSON_EVIDENCE, TokenRules
from api.dependencies import Shared
from api.edge import Traffic
from api.recent import Readiness
from api.server import STOP_SECONDS, listen, server_of
from api.streams import Streams
from control_plane.bootstrap import Parts, start_process
from control_plane.domain.actor import system
from control_plane.domain.errors import DomainError, SettingInvalid, Unavailable
from control_plane.logging import get_logger
from control_plane.services.auditing import report_reads
from control_plane.services.performing import perform
from control_plane.services.permission import report_suppressed
from control_plane.services.rules import record_rules
from control_plane.workflows.core import Caller

REPORT_SECONDS: Final = 15.0  # between looks whether refusals were suppressed
ENTRIES_PER_LOOK: Final = 5_000  # about half a second of work
WATCH_SHARE: Final = 0.2  # of the time, while logs are verified and nobody waits for an answer
# of the verification, while somebody waits for an answer; it keeps its transaction open
LONGEST_PAUSE_SECONDS: Final = 1.0
_LOOK_AGAIN_SECONDS: Final = 0.01
# how long a thread that computes may keep the others from going on: the one that verifies logs
# would do so after each answer of the database, several times in a request
SWITCH_SECONDS: Final = 0.0005
log = get_logger()


def main() -> int:
    """Serve until SIGTERM or SIGINT; returns the exit code.

    2 for a setting that is wrong, 5 when the API cannot start, for example on a port in use.
    """
    try:
        parts = start_process("api")
        settings = parts.settings
        if settings.port == 0:
            raise SettingInvalid("links name the API's port: set TENANTPLANE_PORT to one above 0")
        shared = _shared(parts)
        app = create_app(shared)
    except DomainError as error:
        sys.stderr.write(f"{error.message}\n")
        return 2 if error.code == "setting_invalid" else 5
    try:
        sockets = listen(settings.host, settings.port)
    except Unavailable as error:
        log.error("api.not_started", reason=error.message)  # noqa: TRY400 - a sentence, no stack
        return 5
    server = server_of(
        app, host=settings.host, port=settings.port, trusted_proxies=settings.trusted_proxies
    )
    parts.end_with_parent(os.getppid(), lambda: setattr(server, "should_exit", True))
    shared.identity.keys.problem()  # the keys are there before the first caller is
    sys.setswitchinterval(SWITCH_SECONDS)
    # what is there now stays: looking through all of it again and again for what can be freed
    # would stop every request for a tenth of a second
    gc.collect()
    gc.freeze()
    stopping = threading.Event()
    reporter = threading.Thread(
        target=_report, args=(parts, shared.traffic, stopping), name="refusals", daemon=True
    )
    reporter.start()
    server.run(sockets)
    stopping.set()
    reporter.join(STOP_SECONDS)
    return 0 if server.started else 5


def _report(parts: Parts, traffic: Traffic, stopping: threading.Event) -> None:
    """Record what was suppressed also when no more refusals come, and when the process ends.

    The same thread verifies what was added to the audit logs, and records at the start which rules
    are in force, as soon as there is a database.
    """
    is_over, is_told = False, False
    while not is_over:
        is_told = is_told or _tell_rules(parts)
        is_over = stopping.wait(REPORT_SECONDS)
        try:
            report_suppressed(parts.core, at_once=is_over)
            report_reads(parts.core, at_once=is_over)
        except Exception as error:  # noqa: BLE001 - this thread also watches the audit logs
            log.warning("refusals.not_reported", error=_code(error))
        if not is_over:
            _look_at_logs(parts, traffic, stopping)


def _tell_rules(parts: Parts) -> bool:
    try:
        perform(parts.core, Caller(actor=system("api")), record_rules)
    except Exception as error:  # noqa: BLE001 - such as tables that a migration has yet to make
        log.warning("rules.not_recorded", error=_code(error))
        return False
    return True


def _code(error: Exception) -> str:
    return error.code if isinstance(error, DomainError) else type(error).__name__


def let_requests_go_first(seconds: float, traffic: Traffic, stopping: threading.Event) -> None:
    """Pause after so many seconds of computing, which make each request wait: at most a second."""
    longest = time.monotonic() + LONGEST_PAUSE_SECONDS
    stopping.wait(min(seconds * (1 / WATCH_SHARE - 1), LONGEST_PAUSE_SECONDS))
    while traffic.waiting and time.monotonic() < longest and not stopping.is_set():
        stopping.wait(_LOOK_AGAIN_SECONDS)


def _look_at_logs(parts: Parts, traffic: Traffic, stopping: threading.Event) -> None:
    """Verify what was added to the logs; a fault is logged when it is first seen."""

    def pause(seconds: float) -> None:
        let_requests_go_first(seconds, traffic, stopping)

    before = parts.trail.first_fault()
    try:
        parts.trail.look_on(ENTRIES_PER_LOOK, pause)
    except Exception as error:  # noqa: BLE001 - an outage of any kind; `/readyz` tells of it
        log.warning("audit.not_verified", error=_code(error))
    fault = parts.trail.first_fault()
    if fault and fault != before:
        log.error("audit.fault_found", fault=fault)


def token_rules(parts: Parts) -> TokenRules:
    """Return what tokens must be, as the settings say."""
    settings = parts.settings
    is_foreign = settings.issuer is not None  # our own issuer has its own way to show a person
    evidence = tuple(filter(None, (part.strip() for part in settings.person_evidence.split(","))))
    return TokenRules(
        issuer=parts.issuer,
        audience=settings.audience,
        roles_claim=settings.roles_claim,
        tenants_claim=settings.tenants_claim,
        person_claim=settings.person_claim if is_foreign else "sub",
        person_evidence=evidence if is_foreign else PERSON_EVIDENCE,
        accept_id_style=settings.accept_id_style_tokens,
        max_life_seconds=settings.token_hours * 3600,
    )


def _shared(parts: Parts) -> Shared:
    settings = parts.settings
    return Shared(
        core=parts.core,
        identity=Identity(rules=token_rules(parts), fetch=parts.fetch_keys),
        base_url=settings.base_url,
        page_key=parts.page_key,
        readiness=Readiness(parts.checks),
        background=Readiness(parts.background),
        streams=Streams(news=parts.run_news),
        sign_in=parts.sign_in,
        local_sign_in=parts.local_sign_in,
        notice=parts.notice,
        settings=parts.shown_settings,
    )


if __name__ == "__main__":
    sys.exit(main())
