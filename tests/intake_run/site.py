"""The installation of a run: the product's own processes, and workers that are killed."""

from __future__ import annotations

import random
import shutil
import sys
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

import psycopg
import yaml
from psycopg.rows import dict_row

from benchmarks.site import Site
from control_plane.adapters.intake.keys import FileProviderKeys
from control_plane.adapters.private_files import create_once
from control_plane.bootstrap import SOURCE
from control_plane.cli.children import Child
from control_plane.cli.serving import EmbeddedInstallation
from control_plane.config import PREFIX
from control_plane.domain.hub import MOST_SLICES
from tests.intake_run.contracts import SECONDS_BEFORE
from tests.intake_run.provider import TOKEN, Provider
from tests.signed import ACCOUNT

WORKERS: Final = 3
REGION: Final = "eu-west-1"
KICKOFFS_EACH: Final = 8  # that one person of the vendor has: fewer than there are times for
MOST_PEOPLE: Final = 60  # of a role; a larger team than any vendor's proves nothing more
_SHORT, _LONG = 0.0, 14.0  # seconds until a killed worker comes back: others take its work over
_FIRST_KILL: Final = (1.0, 3.0)  # seconds after the start, so that a short run has one
_KILLS: Final = (4.0, 14.0)  # seconds between two of them, at first
_LATER_KILLS: Final = (15.0, 45.0)  # in a long run: a start takes seconds of a processor
_OFTEN: Final = 10  # kills before they are seldom
_MOST_POINTS: Final = 1000  # that the team document takes
_LANGUAGES: Final = ["en", "it", "de"]


def rules_of_run(folder: Path, provider: Provider, contracts: int, begin: datetime) -> Path:
    """Copy the rules; both sources are asked, and there is a team for so many contracts."""
    rules = folder / "rules"
    shutil.copytree(SOURCE / "rules", rules)
    since = (begin - timedelta(seconds=2 * SECONDS_BEFORE)).isoformat().replace("+00:00", "Z")
    docusign = (
        f"{{url: '{provider.docusign.url}', credential: docusign-read, since: '{since}', "
        "integration_key: 6f2b9a0e-1c7d-4e55-9a3b-2f4c8d7e6a10, "
        "user: 0a1b2c3d-4e5f-4a6b-8c7d-9e0f1a2b3c4d}"
    )
    signing = f"{{url: '{provider.listing.url}', credential: signing-read, since: '{since}'}}"
    _replace(
        rules / "intake.yaml",
        ("accounts: []", f"accounts: [{ACCOUNT}]"),
        ("grace_minutes: 15", "grace_minutes: 0"),
        ("every_minutes: 60", "every_minutes: 1440"),  # it is asked when the run says so
        ("keys: [docusign-1, docusign-2]",
         f"keys: [docusign-1, docusign-2]\n    read_back: {docusign}"),
        ("keys: [signing-1]", f"keys: [signing-1, signing-2]\n    read_back: {signing}"),
    )  # fmt: skip
    team = yaml.safe_load((rules / "team.yaml").read_text(encoding="utf-8"))
    people = min(contracts // KICKOFFS_EACH + 1, MOST_PEOPLE)
    team["segments"] = [{
        "key": "everybody", "weight": 1, "roles": ["csm", "solutions_engineer"],
        "queue_owners": {"csm": "csm-0", "solutions_engineer": "solutions-engineer-0"},
    }]  # fmt: skip
    team["people"] = [
        _person(role, number, contracts)
        for role in ("csm", "solutions_engineer")
        for number in range(people)
    ]
    (rules / "team.yaml").write_text(yaml.safe_dump(team), encoding="utf-8")
    return rules


def _person(role: str, number: int, most: int) -> dict[str, Any]:
    key = f"{role.replace('_', '-')}-{number}"
    return {
        "key": key, "name": f"Example {number}", "email": f"{key}@team.example.com",
        "roles": [role], "segments": ["everybody"], "languages": _LANGUAGES,
        "time_zone": "Europe/Berlin", "country": "DE", "from": "08:00", "to": "18:00",
        "max_points": min(most, _MOST_POINTS),
    }  # fmt: skip


def _replace(file: Path, *changes: tuple[str, str]) -> None:
    text = file.read_text(encoding="utf-8")
    for old, new in changes:
        if text.count(old) != 1:
            raise SystemExit(f"{file.name} does not have {old!r} once")
        text = text.replace(old, new)
    file.write_text(text, encoding="utf-8")


class RunSite(Site):
    """The installation while contracts come in: several workers, of which some die now and then."""

    def __init__(
        self, running: EmbeddedInstallation, provider: Provider, chance: random.Random
    ) -> None:
        super().__init__(running)
        self.kills = 0
        self._chance = chance
        self._next_kill = 0.0
        self._away: dict[str, float] = {}  # workers that come back at an instant
        self.keys = FileProviderKeys(self.parts.home.part("keys") / "intake")
        self._install("docusign-read", provider.key.as_pem(private=True))
        self._install("signing-read", TOKEN.encode())
        self.workers = self._own_workers()

    def _install(self, name: str, content: bytes) -> None:
        folder = self.parts.home.part("keys") / "systems"
        folder.mkdir(mode=0o700, exist_ok=True)
        create_once(folder / f"{name}.key", content)

    def remove_key(self, name: str) -> None:
        """Remove a key of a provider, as whoever rotates keys does."""
        (self.parts.home.part("keys") / "intake" / f"{name}.key").unlink()

    def _own_workers(self) -> dict[str, Child]:
        """Let workers with the scripted engine work in place of the installation's own."""
        own = next(child for child in self.running.children if child.name == "worker")
        own.stop()
        found = {}
        for number in range(1, WORKERS + 1):
            name = f"worker-{number}"
            environment = {**own.environment, PREFIX + "WORKER_ID": name}
            command = [sys.executable, "-m", "tests.intake_run.worker"]
            log = own.log.with_name(f"{name}.log")
            found[name] = Child(name, command, environment, log, SOURCE)
            found[name].start()
        for child in found.values():
            child.wait_until_ready()
        return found

    def close(self) -> None:
        """Stop the workers."""
        for child in self.workers.values():
            child.stop()

    # --- accidents -----------------------------------------------------------------------------
    def kill_now_and_then(self) -> None:
        """Kill a worker when it is time for that, and start those that were killed again."""
        now = time.monotonic()
        self._next_kill = self._next_kill or now + self._chance.uniform(*_FIRST_KILL)
        for name, until in list(self._away.items()):
            if now >= until:
                del self._away[name]
                self.workers[name].start()
        if now < self._next_kill:
            return
        self._next_kill = now + self._chance.uniform(
            *(_KILLS if self.kills < _OFTEN else _LATER_KILLS)
        )
        if len(self._away) < WORKERS - 1:
            name = self._chance.choice(sorted(set(self.workers) - set(self._away)))
            self.workers[name].process.kill()
            self.workers[name].process.wait()
            self._away[name] = now + self._chance.choice((_SHORT, _LONG))
            self.kills += 1

    def let_work(self) -> None:
        """Start whoever is away, and wait until all are ready."""
        for name in self._away:
            self.workers[name].start()
        self._away = {}
        for child in self.workers.values():
            child.wait_until_ready()

    # --- what is there -------------------------------------------------------------------------
    def rows(self, query: str, *values: object, role: str = "") -> list[dict[str, Any]]:
        """Read tables as the application does, or as another role."""
        url = self.database_url_of(role) if role else self.database_url
        with psycopg.connect(url, row_factory=dict_row) as connection:
            return connection.execute(query, values).fetchall()  # type: ignore[arg-type] # our own

    def count(self, query: str, *values: object, role: str = "") -> int:
        """Return the only number that a query answers."""
        (row,) = self.rows(query, *values, role=role)
        (found,) = row.values()
        return int(found)

    def make_hubs(self, slices: int) -> None:
        """Build as many shared Hubs as so many slices need."""
        for number in range(-(-slices // MOST_SLICES)):
            body = {"region": REGION, "cell": f"c{number + 1}", "capacity": MOST_SLICES}
            run_id = str(self.admin.post("/v1/hubs", body)["run_id"])
            self._run(run_id, "awaiting_approval")
            run = self.ops.get(f"/v1/runs/{run_id}")
            approval = self.ops.get(f"/v1/approvals/{run['approval_id']}")
            self.ops.post(f"/v1/approvals/{approval['id']}/decisions", {
                "decision": "approve", "plan_digest": approval["plan_digest"], "reason": "read it",
                "acknowledge": [each["urn"] for each in approval["irreversible"]],
            })  # fmt: skip
            self._run(run_id, "applied")

    def look(self, source: str, until: Callable[[Callable[[], bool], str], None]) -> None:
        """Ask a source what was signed until a look has ended well.

        The look that follows a start may have come before the credentials were installed.
        """
        asked = self.rows("SELECT now() AS at")[0]["at"]
        path = f"/v1/intake/{source}/look"
        self.ops.post(path, {})
        query = "SELECT looked_at, error FROM intake_look WHERE id = %s"

        def is_over() -> bool:
            (look,) = self.rows(query, source)
            if look["error"] is not None:
                self.ops.post(path, {})  # which does nothing while one waits
            return look["looked_at"] is not None and look["looked_at"] >= asked

        until(is_over, f"{source} was asked")
