"""The rules: pure functions over all resources of a plan, or of a state after an apply."""

from __future__ import annotations

from typing import Final

from policies.model import Rule
from policies.rules import (
    auto_named_resource,
    isolation,
    missing_boundary,
    missing_tags,
    public_exposure,
    residency,
    short_log_retention,
    tls_not_enforced,
    unencrypted_storage,
    unknown_policy_document,
    unknown_resource_type,
    unprotected_stateful,
)

RULES: Final[tuple[Rule, ...]] = (
    auto_named_resource.RULE,
    isolation.RULE,
    missing_boundary.RULE,
    missing_tags.RULE,
    public_exposure.RULE,
    residency.RULE,
    short_log_retention.RULE,
    tls_not_enforced.RULE,
    unencrypted_storage.RULE,
    unknown_policy_document.RULE,
    unknown_resource_type.RULE,
    unprotected_stateful.RULE,
)
