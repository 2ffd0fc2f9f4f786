"""What must hold after a run: every contract has its tenant and messages, and nothing is open."""

from __future__ import annotations

import email
import json
from collections import Counter
from collections.abc import Iterator
from email import policy
from typing import Any, Final

from control_plane.adapters.audit.keys import load_public_key, public_key_path
from control_plane.adapters.audit.verify import trees_that_must_exist, verify
from control_plane.adapters.home import Key
from control_plane.adapters.systems.opening import RECORDED
from control_plane.cli.serving import EmbeddedInstallation
from tests.intake_run.contracts import CONTACTS, Contract, Plan
from tests.intake_run.provider import Provider
from tests.intake_run.site import RunSite

# what everybody gets on Day 0, once: event and persona
MESSAGES: Final = Counter({
    ("contract.signed", "executive_sponsor"): 1, ("contract.signed", "it_admin"): 1,
    ("portal.link_issued", "it_admin"): 1, ("tenant.ready", "it_admin"): 1,
})  # fmt: skip
SOME: Final = 5  # that are named of a kind


class Checks:
    """Compares what the provider did with what is there."""

    def __init__(self, site: RunSite, provider: Provider, plan: Plan) -> None:
        self.site = site
        self.provider = provider
        self.plan = plan
        self.counts: dict[str, int] = {}

    def all(self) -> list[str]:
        """Return a sentence for everything that is wrong at the end."""
        return [
            *self._tenants(), *self._messages(), *self._mails(), *self._deliveries(),
            *self._nothing_open(), *self._logs(),
        ]  # fmt: skip

    # --- gaps ------------------------------------------------------------------------------------
    def gaps(self) -> list[str]:
        """Compare what the first look found with what the provider did not deliver."""
        wanted: dict[str, set[str]] = {"missing_here": set(), "missing_there": set(),
                                       "other_content": set()}  # fmt: skip
        for each in self.plan.contracts:
            if each.is_missing:
                wanted["missing_here"].add(each.envelope_id)
            elif each.is_unknown:
                wanted["missing_there"].add(each.envelope_id)
            elif each.is_changed:
                wanted["other_content"].add(each.envelope_id)
        found: dict[str, set[str]] = {kind: set() for kind in wanted}
        for row in self.site.rows("SELECT kind, subject, explanation FROM intake_finding"):
            found.setdefault(row["kind"], set()).add(row["subject"])
            if not row["explanation"]:
                return [f"the finding on {row['subject']} says no reason"]
        self.counts |= {f"gaps: {kind}": len(subjects) for kind, subjects in found.items()}
        return [
            f"{kind}: {_some(found[kind] ^ wanted.get(kind, set()))} differ from what is wanted"
            for kind in found
            if found[kind] != wanted.get(kind, set())
        ]

    # --- the end ---------------------------------------------------------------------------------
    def _tenants(self) -> Iterator[str]:
        rows = self.site.rows(
            "SELECT c.contract_id, t.status, (SELECT count(*) FROM journey j"
            " WHERE j.contract_ref = c.id) AS journeys"
            " FROM tenant t LEFT JOIN contract c ON c.tenant_id = t.id"
        )
        self.counts["tenants ready"] = sum(row["status"] == "ready" for row in rows)
        self.counts["journeys"] = sum(row["journeys"] for row in rows)
        found = Counter(row["contract_id"] for row in rows)
        wanted = Counter(each.contract_id for each in self.plan.contracts)
        yield from differ("contracts with a tenant", found, wanted)
        unready = {row["contract_id"] for row in rows if row["status"] != "ready"}
        if unready:
            yield f"not ready: {_some(unready)}"
        if any(row["journeys"] != 1 for row in rows):
            yield "a contract has not exactly one journey"

    def _messages(self) -> Iterator[str]:
        """Compare the messages of each contract with what is wanted; a kickoff may be a task."""
        rows = self.site.rows(
            "SELECT c.contract_id, m.event, m.persona, m.recipient_email, m.status, m.reason,"
            " m.may_be_twice FROM message m JOIN contract c ON c.tenant_id = m.tenant_id"
        )
        by_kind = Counter(f"messages: {row['event']}" for row in rows)
        twice = sum(row["may_be_twice"] for row in rows)
        self.counts |= {**by_kind, "messages possibly twice": twice}
        unsent = [row for row in rows if row["status"] != "sent"]
        if unsent:
            yield f"{len(unsent)} messages are not sent: {_some({_of(row) for row in unsent})}"
        invited = self._invited()
        self.counts["kickoffs invited"] = len(invited)
        found: dict[str, Counter[tuple[str, str]]] = {}
        kickoffs: dict[str, Counter[str]] = {}
        for row in rows:
            if row["event"] == "kickoff.invited":
                kickoffs.setdefault(row["contract_id"], Counter())[row["recipient_email"]] += 1
            else:
                kind = (row["event"], row["persona"])
                found.setdefault(row["contract_id"], Counter())[kind] += 1
        for each in self.plan.contracts:
            chain = found.get(each.contract_id, Counter())
            yield from differ(f"messages of {each.contract_id}", chain, MESSAGES)
            yield from self._kickoff(each, kickoffs.get(each.contract_id, Counter()), invited)

    def _kickoff(
        self, contract: Contract, mails: Counter[str], invited: set[str]
    ) -> Iterator[str]:  # fmt: skip
        name = f"invitations of {contract.contract_id}"
        if contract.contract_id not in invited:
            yield from differ(name, mails, Counter())
            return
        customers = Counter({contract.email(role): 1 for role in CONTACTS})
        team = [address for address in mails if address.endswith("@team.example.com")]
        yield from differ(name, mails - Counter(dict.fromkeys(team, 1)), customers)
        if len(team) != 2:
            yield f"{name}: {len(team)} people of the vendor"

    def _invited(self) -> set[str]:
        rows = self.site.rows(
            "SELECT c.contract_id FROM journey_step s JOIN journey j ON j.id = s.journey_id"
            " JOIN contract c ON c.id = j.contract_ref"
            " WHERE s.key = 'kickoff_invitation' AND s.status = 'done'"
        )
        return {row["contract_id"] for row in rows}

    def _mails(self) -> Iterator[str]:
        """Compare the mails that went out with the rows, by their Message-IDs."""
        folder = self.site.parts.home.folder / RECORDED / "mail"
        found: Counter[str] = Counter()
        for file in folder.glob("*.eml"):
            with file.open("rb") as stream:
                mail = email.message_from_binary_file(stream, policy=policy.default)
            found[str(mail["Message-ID"])] += 1
        rows = self.site.rows("SELECT message_id FROM message WHERE status = 'sent'")
        self.counts["mails"] = found.total()
        wanted = Counter(row["message_id"] for row in rows)
        yield from differ("mails", found, wanted)

    def _deliveries(self) -> Iterator[str]:
        rows = self.site.rows("SELECT status, code, count(*) AS n FROM delivery GROUP BY 1, 2")
        self.counts |= {
            f"deliveries: {row['status']}{' ' + row['code'] if row['code'] else ''}": row["n"]
            for row in rows
        }
        refused = self.provider.answers[401]
        self.counts["answered 401"] = refused
        for row in rows:
            is_open = row["status"] in {"received", "held"}
            if is_open or row["code"] not in {None, "signature_invalid"}:
                yield f"{row['n']} deliveries are {row['status']} ({row['code']})"
        kept = self.site.count(
            "SELECT coalesce(sum(times_received), 0) FROM delivery WHERE code = 'signature_invalid'"
        )
        counted = self._counted()
        self.counts["answered 401, in a count of the log"] = counted
        if kept + counted != refused:
            yield f"{refused} were refused for their signature; {kept} are kept, {counted} counted"

    def _counted(self) -> int:
        """Return how many wrong signatures the log has as a count alone, since they were many."""
        entries = self.site.rows(
            "SELECT entry FROM audit_entry WHERE action = 'delivery.denied'", role="AUDITOR"
        )
        events = [json.loads(bytes(row["entry"]).splitlines()[-1]) for row in entries]
        return sum(event["data"].get("suppressed", 0) for event in events)

    def _nothing_open(self) -> Iterator[str]:
        for row in self.site.rows(
            "SELECT kind, count(*) AS n FROM intake_finding WHERE status <> 'agreed' GROUP BY 1"
        ):
            yield f"{row['n']} findings {row['kind']} are not closed"
        for row in self.site.rows(
            "SELECT key, status, count(*) AS n FROM journey_step WHERE status <> CASE"
            " WHEN left(key, 5) = 'late_' THEN 'skipped' ELSE 'done' END"  # green came in time
            " AND (key, status) NOT IN (('kickoff', 'waiting'), ('kickoff', 'asked'))"
            # nobody is called about a tenant that is ready in time
            " AND NOT (key LIKE 'late!_%%' ESCAPE '!' AND status = 'skipped')"
            " GROUP BY 1, 2"
        ):
            if (row["key"], row["status"]) == ("kickoff_invitation", "asked"):
                self.counts["kickoffs for which a person finds a time"] = row["n"]
                if len(self.plan.contracts) > row["n"] and self._has_times():
                    yield f"{row['n']} kickoffs found no time, though there are enough people"
            else:
                yield f"{row['n']} steps {row['key']} are {row['status']}"
        tasks = self.site.rows(
            "SELECT t.owner, t.about_kind, count(*) AS n FROM task t LEFT JOIN journey_step s"
            " ON s.id = t.about_id WHERE t.status = 'open'"
            " AND s.key IS DISTINCT FROM 'kickoff_invitation' AND s.key IS DISTINCT FROM 'kickoff'"
            " GROUP BY 1, 2"
        )
        for row in tasks:
            yield f"{row['n']} tasks of {row['owner']} about {row['about_kind']} are open"

    def _has_times(self) -> bool:
        from tests.intake_run.site import KICKOFFS_EACH, MOST_PEOPLE

        return len(self.plan.contracts) < KICKOFFS_EACH * MOST_PEOPLE

    def _logs(self) -> Iterator[str]:
        parts = self._auditing(self.site.running)
        key = load_public_key(public_key_path(self.site.parts.home.key(Key.AUDIT)))
        report = verify(
            parts.auditor_engine, host=parts.settings.audit_host, trees=None, public_keys=[key],
            pins=[], expected=trees_that_must_exist(parts.auditor_engine),
        )  # fmt: skip
        self.counts["logs verified"] = len(report.trees)
        self.counts["log entries"] = sum(tree.entries for tree in report.trees)
        if report.exit_code:
            yield f"logs do not verify: {report.to_text()[:2000]}"
        if len(report.trees) <= len(self.plan.contracts):
            yield f"only {len(report.trees)} logs were verified"
        parts.auditor_engine.dispose()

    @staticmethod
    def _auditing(running: EmbeddedInstallation) -> Any:
        from control_plane.bootstrap import Parts

        return Parts(running.child_settings())


def differ(what: str, found: Counter[Any], wanted: Counter[Any]) -> Iterator[str]:
    if found != wanted:
        yield f"{what}: too many {_some(found - wanted)}, too few {_some(wanted - found)}"


def _of(row: dict[str, Any]) -> str:
    return f"{row['contract_id']} {row['event']} {row['status']} {row['reason']}"


def _some(found: Any) -> str:
    names = sorted(map(str, found))
    return f"{', '.join(names[:SOME])}{', …' if len(names) > SOME else ''}" or "none"
