"""A request that did not come through the API is read as the API reads it: one digest for both."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest
from pydantic import ValidationError

from api.schemas.requests import ProvisioningRequest
from control_plane.domain.errors import InvalidInput
from control_plane.services.request_form import read_request
from tests.world import request_body

MOST = {
    "contract.mode": None, "contract.sla_uptime_min": "99.95", "contract.seats": 0,
    "contract.envelope_id": "{9F1C0E5A-7B2D-4C3E-8F60-000000000001}",
    "contract.provider": "Docu-Sign", "contract.signed_at": "2026-11-20t15:03:00.1234567+01:00",
    "company.domain": "MÜNCHEN.example.", "company.legal_name": "  Straße\u00a0 & Söhne ",
    "requirements.segment": "mid market", "requirements.regulated_sector": "bank",
    "requirements.ip_allow_list": ["203.0.113.7"], "requirements.phone_sev1": True,
    "requirements.requested_mode": "B", "requirements.customer_managed_key": True,
    "contacts.0.locale": "pt_br", "contacts.0.email": " ida@example.com ",
    "additional_tenant": True, "environment": "staging",
}  # fmt: skip


def changed(body: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    found: Any = deepcopy(body)
    place = found
    *names, last = path.split(".")
    for name in names:
        place = place[int(name)] if name.isdigit() else place[name]
    place[last] = value
    return dict(found)


def without(body: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in body.items() if name not in names}


GOOD = {
    "as the tests send it": request_body(),
    "without contacts": without(request_body(), "contacts"),
    "without requirements": without(request_body(), "requirements", "environment"),
    "without a zone": changed(request_body(), "requirements.residency", {"regions": ["eu-west-1"]}),
    **{path: changed(request_body(), path, value) for path, value in MOST.items()},
}


@pytest.mark.parametrize("name", GOOD)
def test_a_request_is_the_same_document(name: str) -> None:
    body = GOOD[name]
    assert read_request(body) == ProvisioningRequest(**body).document()


@pytest.mark.parametrize(("path", "value"), [
    ("contract.provider", "!"), ("contract.envelope_id", "\u200b"),
    ("contract.contract_id", "a\nb"),
    ("contract.signed_at", "2026-11-20"), ("contract.subscription", "gold"), ("contract.mode", "D"),
    ("contract.seats", -1), ("contract.seats", 10**9), ("contract.sla_uptime_min", "100.1"),
    ("contract.subscription", None), ("company.legal_name", "x" * 201), ("company.domain", "host"),
    ("company.country", "it"), ("company.time_zone", "Mars"), ("contacts.0.role", "boss"),
    ("contacts.0.name", None), ("contacts.0.email", "ida"), ("contacts.0.locale", "i"),
    ("requirements.cloud", "oracle"), ("requirements.residency.zone", "EU"),
    ("requirements.residency.regions", ["Ireland"]), ("requirements.segment", ""),
    ("requirements.residency.regions", ["eu-west-1"] * 21), ("requirements.requested_mode", "a"),
    ("environment", "P"), ("contacts", [request_body()["contacts"][0]] * 21),
])  # fmt: skip
def test_what_the_api_refuses_is_refused(path: str, value: Any) -> None:
    body = changed(request_body(), path, value)
    with pytest.raises(ValidationError) as by_api:
        ProvisioningRequest(**body)
    with pytest.raises(InvalidInput) as refused:
        read_request(body)
    field = ".".join(map(str, by_api.value.errors()[0]["loc"]))
    assert field.startswith(refused.value.data["field"])
