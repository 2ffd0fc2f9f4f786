"""One run: contracts are posted, the provider is asked twice, and everything is checked."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Final

from control_plane.bootstrap import read_settings
from control_plane.cli.serving import EmbeddedInstallation
from tests.intake_run.checks import SOME, Checks
from tests.intake_run.contracts import DOCUSIGN, SIGNING, Attempt, Plan, planned
from tests.intake_run.provider import Provider, SigningKeys
from tests.intake_run.site import WORKERS, RunSite, rules_of_run

SAY_SECONDS: Final = 10.0
STUCK_SECONDS: Final = 300.0  # without any progress
_PAUSE: Final = 0.5
_OLD = SigningKeys(docusign=("the-first-key",), signing=("whsec_" + "Zmlyc3Q" * 4,))
_NEW = SigningKeys(docusign=("the-second-key",), signing=("whsec_" + "c2Vjb25k" * 4,))
_OPEN: Final = """
    SELECT 'delivery' AS what, id::text, status AS how FROM delivery WHERE status = 'received'
    UNION ALL SELECT 'workflow ' || coalesce(name, ''), workflow_uuid, status
    FROM dbos.workflow_status WHERE status IN ('ENQUEUED', 'PENDING')
    UNION ALL SELECT 'message ' || event, id::text, concat_ws(' ', status, reason)
    FROM message WHERE status IN ('queued', 'sending')
    UNION ALL SELECT 'step ' || key, id::text, concat_ws(' ', status, reason, error)
    FROM journey_step WHERE status IN ('working', 'scheduled')
    OR status = 'waiting' AND key <> 'kickoff'
    UNION ALL SELECT 'run', id::text, status FROM run
    WHERE status NOT IN ('applied', 'errored', 'canceled')
"""
_UNDER_WAY: Final = f"SELECT count(*) FROM ({_OPEN}) AS open"  # noqa: S608 - our own
_PROGRESS: Final = """
    SELECT (SELECT count(*) FROM delivery) AS deliveries,
           (SELECT count(*) FROM tenant) AS tenants,
           (SELECT count(*) FROM tenant WHERE status = 'ready') AS ready,
           (SELECT count(*) FROM message WHERE status = 'sent') AS messages
"""
_UNSIGNED: Final = """
    SELECT (SELECT count(*) FROM audit_pending)
         + (SELECT count(*) FROM audit_tree WHERE unsigned_since IS NOT NULL)
"""


@dataclass
class Run:
    """A run of ``count`` contracts, in a folder that may be thrown away."""

    seed: int
    count: int
    folder: Path
    say: Callable[[str], None]
    seconds: dict[str, float] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)

    def do(self) -> list[str]:
        """Do all of it; returns a sentence for everything that is wrong."""
        plan = planned(self.seed, self.count)
        begin = datetime.now(UTC)
        self.folder.mkdir(parents=True, exist_ok=True)
        with Provider(plan.contracts, begin) as provider:
            rules = rules_of_run(self.folder, provider, self.count, begin)
            settings = read_settings(
                home=self.folder / "home", port=0, log_level="warning", rules_folder=rules,
                sandbox_url="http://127.0.0.1:9",  # nothing is done in a cloud
            )  # fmt: skip
            with EmbeddedInstallation(settings, print_nothing) as running:
                site = RunSite(running, provider, random.Random(self.seed + 1))  # noqa: S311
                try:
                    return self._on(site, provider, plan)
                finally:
                    site.close()

    def _on(self, site: RunSite, provider: Provider, plan: Plan) -> list[str]:
        self.site = site
        site.make_hubs(self.count + 1)
        self._look(kills=False)  # there is nothing yet: it sets where the next look begins
        self._timed("posted", partial(self._post, provider, plan))
        self._timed("taken", partial(self._until_idle, "what was posted is done"))
        provider.show(is_well=False)
        checks = Checks(site, provider, plan)
        self._timed("asked", self._look)
        self._timed("taken after", partial(self._until_idle, "what was missing is done"))
        wrong = checks.gaps()
        provider.post(site.running.url, plan.late, _NEW, None)
        provider.show(is_well=True)
        self._timed("asked again", self._look)
        self._until_idle("everything is done")
        site.let_work()
        self._wait(
            lambda: site.count(_UNSIGNED, role="SEQUENCER") == 0, "every log is signed", kills=False
        )
        self._timed("checked", lambda: wrong.extend(checks.all()))
        self.counts = {
            "contracts": self.count, "workers": WORKERS, "workers killed": site.kills,
            "messages posted": len(plan.attempts) + len(plan.late), **checks.counts,
        }  # fmt: skip
        return wrong

    # --- what the provider does ------------------------------------------------------------------
    def _post(self, provider: Provider, plan: Plan) -> None:
        """Post in three parts: with the first key, with both, with the second alone."""
        third = -(-len(plan.attempts) // 3)
        parts = [plan.attempts[at : at + third] for at in range(0, len(plan.attempts), third)]
        both = SigningKeys(
            docusign=_OLD.docusign + _NEW.docusign, signing=_OLD.signing + _NEW.signing
        )
        self._install(_OLD, 1)
        self._post_part(provider, parts[0], _OLD, None)
        self._install(_NEW, 2)
        self._post_part(provider, parts[1] if len(parts) > 1 else (), both, None)
        for source in (DOCUSIGN, SIGNING):
            self.site.remove_key(f"{source}-1")
        self._post_part(provider, parts[2] if len(parts) > 2 else (), _NEW, _OLD)

    def _install(self, keys: SigningKeys, number: int) -> None:
        for source, (key,) in ((DOCUSIGN, keys.docusign), (SIGNING, keys.signing)):
            self.site.keys.install(f"{source}-{number}", key.encode())

    def _post_part(
        self, provider: Provider, part: Sequence[Attempt], keys: SigningKeys,
        old: SigningKeys | None,
    ) -> None:  # fmt: skip
        failed: list[BaseException] = []

        def post() -> None:
            try:
                provider.post(self.site.running.url, part, keys, old)
            except BaseException as error:  # noqa: BLE001 - it is raised below
                failed.append(error)

        thread = threading.Thread(target=post)
        thread.start()
        self._wait(lambda: not thread.is_alive(), "everything is posted")
        thread.join()
        if failed:
            raise failed[0]

    def _look(self, *, kills: bool = True) -> None:
        for source in (DOCUSIGN, SIGNING):
            self.site.look(source, partial(self._wait, kills=kills))

    # --- waiting -------------------------------------------------------------------------------
    def _timed(self, name: str, do: Callable[[], object]) -> None:
        started = time.monotonic()
        do()
        self.seconds[name] = time.monotonic() - started

    def _until_idle(self, what: str) -> None:
        self._wait(lambda: self.site.count(_UNDER_WAY) == 0, what)

    def _wait(self, holds: Callable[[], bool], what: str, *, kills: bool = True) -> None:
        """Wait, tell how far it is, and let workers die meanwhile. Ends a run that is stuck."""
        told = moved = time.monotonic()
        last: dict[str, object] = {}
        while not holds():
            if kills:
                self.site.kill_now_and_then()
            now = time.monotonic()
            if now - told > SAY_SECONDS:
                told = now
                (found,) = self.site.rows(_PROGRESS)
                moved = now if found != last else moved
                last = found
                self.say("  " + ", ".join(f"{value} {name}" for name, value in found.items())
                         + f"; {self.site.kills} workers killed")  # fmt: skip
            if now - moved > STUCK_SECONDS:
                raise SystemExit(f"stuck, waiting until {what}: {self._some_open()}")
            time.sleep(_PAUSE)

    def _some_open(self) -> str:
        found = self.site.rows(f"{_OPEN} LIMIT {SOME}")
        return "; ".join(" ".join(map(str, row.values())) for row in found) or "nothing is open"

    def table(self) -> str:
        """Return the counts and seconds of the run."""
        rows = [(name, f"{value}") for name, value in self.counts.items()]
        rows += [(f"seconds: {name}", f"{value:.0f}") for name, value in self.seconds.items()]
        width = max((len(name) for name, _ in rows), default=0)
        return "\n".join(f"{name:<{width}}  {value:>8}" for name, value in rows)


def print_nothing(_: str) -> None:
    """Say nothing of the processes that are started."""
