"""Answers of an IT admin to the steps of onboarding, and metadata of identity providers."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

COMPANY = "customer1.example.com"  # of the first request of a world
ORDER = (
    "verify_identity", "confirm_tenant_and_mode", "residency_and_legal", "sso", "scim",
    "llm_platform", "network_and_hub", "connectors_and_contacts", "pilot_cohort",
    "review_and_launch",
)  # fmt: skip


def certificate(ends: datetime) -> str:
    """Return a certificate as metadata has it: base64 of its DER."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "idp")])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(ends - timedelta(days=730))
        .not_valid_after(ends)
        .sign(key, hashes.SHA256())
    )
    return base64.encodebytes(made.public_bytes(Encoding.DER)).decode()


def metadata(
    *, host: str = f"idp.{COMPANY}", entity: str | None = None,
    ends: tuple[datetime, ...] = (datetime(2099, 1, 1, tzinfo=UTC),),
) -> str:  # fmt: skip
    """Return SAML metadata of an identity provider with a certificate for each end."""
    keys = "".join(
        '<md:KeyDescriptor use="signing"><ds:KeyInfo><ds:X509Data><ds:X509Certificate>'
        f"{certificate(each)}</ds:X509Certificate></ds:X509Data></ds:KeyInfo></md:KeyDescriptor>"
        for each in ends
    )
    return (
        '<?xml version="1.0"?><md:EntityDescriptor xmlns:md="urn:oasis:names:tc:SAML:2.0:metadata" '
        'xmlns:ds="http://www.w3.org/2000/09/xmldsig#" '
        f'entityID="{entity or f"https://{host}/saml"}"><md:IDPSSODescriptor '
        f'protocolSupportEnumeration="urn:oasis:names:tc:SAML:2.0:protocol">{keys}'
        '<md:SingleSignOnService Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect" '
        f'Location="https://{host}/sso"/></md:IDPSSODescriptor></md:EntityDescriptor>'
    )


def answers_to(
    step: str, *, mode: str = "A", region: str = "eu-west-1", company: str = COMPANY,
) -> dict[str, Any]:  # fmt: skip
    """Return good answers to a step."""
    hub: dict[str, dict[str, Any]] = {
        "A": {"space_confirmed": True},
        "B": {"networks": ["203.0.113.0/24"], "key_choice": "ours"},
        "C": {"endpoint": f"https://hub.{company}"},
    }
    phone = {"on_call_phone": "+39 02 1234567"} if mode == "B" else {}
    found: dict[str, dict[str, Any]] = {
        "verify_identity": {
            "name": "Ida Admin", "position": "Head of IT", "email": f"ida@{company}",
            "terms": True,
        },
        "confirm_tenant_and_mode": {
            "display_name": "Dainese", "billing_email": "invoices@example.net",
            "security_email": f"security@{company}", "support": "business_hours",
            "delivery_agreed": "yes",
        },
        "residency_and_legal": {
            "regions": [region], "dpa_version": "2026-03", "retention_days": 90,
        },
        "sso": {
            "protocol": "oidc", "issuer": f"https://login.{company}/realms/staff",
            "client_id": "tenantplane",
        },
        "scim": {"method": "scim", "provider": "okta"},
        "llm_platform": {
            "platform": "bedrock", "platform_region": region, "no_retention": True,
        },
        "network_and_hub": hub[mode],
        "connectors_and_contacts": {
            "chat": "slack", "tickets": "none", "status_page": False, "on_call_name": "Ivo Call",
            "on_call_email": "ivo@example.net", **phone,
        },
        "pilot_cohort": {
            "archetypes": ["Sales", "Support"],
            "people": [f"p{number}@{company}, {('Sales', 'Support')[number % 2]}"
                       for number in range(10)],
            "skills": ["Search", "Summaries", "Drafts"],
            "success_criteria": "Hours per week: 10 today, 6 wanted, measured by Bruna.",
            "sponsor": "Bruna Boss", "sponsor_agrees": True,
        },
        "review_and_launch": {"launch": True},
    }  # fmt: skip
    return found[step]
