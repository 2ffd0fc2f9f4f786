"""What is known of a company, under the names that fields have in a system."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from control_plane.ports.systems import Company

OWN: Final = ("slug", "contract")  # beside those of ``Company.facts``


def named(company: Company, fields: Mapping[str, str]) -> dict[str, str]:
    """Return the facts that ``fields`` names, by the field of each; unknown ones are left out."""
    facts = {**company.facts, "slug": company.slug, "contract": company.contract_id}
    return {field: facts[name] for name, field in fields.items() if name in facts}
