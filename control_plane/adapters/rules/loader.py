"""The rules folder of an installation, read once at start."""

from __future__ import annotations

import re
from datetime import date, timedelta
from pathlib import Path

from control_plane.adapters.rules.approval_rules import parse_approval_rules
from control_plane.adapters.rules.calendars import parse_calendars
from control_plane.adapters.rules.documents import Document, read_document
from control_plane.adapters.rules.intake import parse_intake
from control_plane.adapters.rules.journeys import FOLDER, read_playbooks
from control_plane.adapters.rules.messages import parse_messages, read_templates
from control_plane.adapters.rules.mode_rules import parse_mode_rules, parse_regions
from control_plane.adapters.rules.onboarding import parse_onboarding
from control_plane.adapters.rules.parameters import PolicyParameters, parse_parameters
from control_plane.adapters.rules.systems import parse_systems
from control_plane.adapters.rules.team import parse_team
from control_plane.domain.errors import SettingInvalid
from control_plane.domain.residency import Regions
from control_plane.domain.rules import Rules
from control_plane.domain.slug import SlugRules, folded
from control_plane.domain.versions import HubVersion, Major, Versions

_NAMES = (
    "regions", "mode_rules", "slug_rules", "approval_rules", "versions", "policy_parameters",
    "calendars", "intake", "messages", "systems", "team", "onboarding",
)  # fmt: skip


def load_rules(folder: Path) -> Rules:
    """Return the rules that the core reads.

    Raises ``SettingInvalid`` with one sentence that names file and path of what is wrong.
    """
    _present(folder)
    read = {name: read_document(folder, name) for name in _NAMES}
    templates, playbooks = read_templates(folder), read_playbooks(folder)
    named = {
        **{document.file: document for document in read.values()},
        **{f"templates/{document.file}": document for document in templates},
        **{f"{FOLDER}/{document.file}": document for document in playbooks},
    }
    return Rules(
        mode=parse_mode_rules(read["mode_rules"], parse_regions(read["regions"])),
        slug=parse_slug_rules(read["slug_rules"]),
        approvals=parse_approval_rules(read["approval_rules"]),
        versions=parse_versions(read["versions"]),
        calendars=parse_calendars(read["calendars"]),
        intake=parse_intake(read["intake"]),
        team=parse_team(read["team"]),
        messages=parse_messages(read["messages"], templates, playbooks),
        systems=parse_systems(read["systems"]),
        onboarding=parse_onboarding(read["onboarding"]),
        reviews={
            name: date.fromisoformat(document.content["document"]["next_review"])
            for name, document in named.items()
        },
        digests={name: document.digest for name, document in named.items()},
    )


def load_policy_parameters(folder: Path, regions: Regions) -> PolicyParameters:
    """Return the policy parameters. Raises ``SettingInvalid`` as ``load_rules`` does."""
    _present(folder)
    return parse_parameters(read_document(folder, "policy_parameters"), regions)


def parse_versions(document: Document) -> Versions:
    """Return the versions of managed services with their ends."""
    postgres = document.content["postgres"]
    hub = tuple(HubVersion(**entry) for entry in document.content["hub"])
    for index, version in enumerate(hub):
        if version.name in [each.name for each in hub[:index]]:
            raise document.refused(f"hub.{index}.name", f"{version.name} is named twice")
        if version.postgres not in postgres["majors"]:
            raise document.refused(f"hub.{index}.postgres", "is not among postgres.majors")
        if index and version.postgres < hub[index - 1].postgres:
            raise document.refused(f"hub.{index}.postgres", "is older than that before it")
    return Versions(
        digest=document.digest,
        warn_before=timedelta(days=document.content["warn_days"]),
        source=postgres["source"],
        postgres={
            name: Major(ends=date.fromisoformat(entry["ends"]), oldest_minor=entry["oldest_minor"])
            for name, entry in postgres["majors"].items()
        },
        hub=hub,
    )


def parse_slug_rules(document: Document) -> SlugRules:
    """Return the slug rules, with legal suffixes as the slug's algorithm meets them."""
    content = document.content
    suffixes = (re.sub(r"[^a-z0-9]", "", folded(text)) for text in content["legal_suffixes"])
    return SlugRules(
        digest=document.digest,
        legal_suffixes=frozenset(suffix for suffix in suffixes if suffix),
        reserved=frozenset(content["reserved"]),
        second_level_domains=frozenset(content["second_level_domains"]),
    )


def _present(folder: Path) -> None:
    if not folder.is_dir():
        raise SettingInvalid(
            "The rules folder does not exist; set TENANTPLANE_RULES_FOLDER to the folder that "
            "holds "
            "mode_rules.yaml.",
            setting="TENANTPLANE_RULES_FOLDER",
        )
