"""What is checked of answers beyond their types, by the name that the document gives.

Each takes the value, the other answers of the step and what is known of the tenant, and returns
the value in its one spelling. Raises ``Wrong``.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from control_plane.domain.addresses import Target, is_public, parse_target
from control_plane.domain.errors import InvalidInput
from control_plane.domain.event_errors import UrlRefused
from control_plane.domain.networks import allowed_networks
from control_plane.domain.onboarding_document import FaultCode, OnboardingRules, Validator
from control_plane.domain.onboarding_values import About, Wrong, email_of
from control_plane.domain.saml_metadata import SamlMetadata, read_metadata

MOST_KEYS: Final = 3
_F: Final = FaultCode
_DOMAIN: Final = re.compile(r"([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z][a-z0-9-]{0,61}[a-z0-9]")
_KEY_ARN: Final = re.compile(
    r"arn:aws(-cn|-us-gov)?:kms:[a-z0-9-]{5,25}:[0-9]{12}:key/[A-Za-z0-9-]{1,64}"
)
_PHONE: Final = re.compile(r"\+[1-9][0-9]{5,14}")
# names that only a network of one's own resolves (RFC 6761, 6762, 8375 and what is in use)
_INSIDE: Final = ("localhost", "local", "internal", "intranet", "lan", "home", "corp", "arpa",
                  "test", "invalid", "onion")  # fmt: skip
Validate = Callable[[OnboardingRules, Any, Mapping[str, Any], About], Any]


# --- addresses of people --------------------------------------------------------------------------
def _own_domain(_: OnboardingRules, value: str, __: Mapping[str, Any], about: About) -> str:
    _require_ours(value, about)
    return value


def _own_email(
    _: OnboardingRules, value: list[str], __: Mapping[str, Any], about: About
) -> list[str]:
    found = []
    for number, text in enumerate(value, 1):
        found.append(email_of(text, line=number))
        _require_ours(found[-1], about, line=number)
    return found


def _require_ours(email: str, about: About, **line: int) -> None:
    if not _is_under(email.rpartition("@")[2].lower(), (about.domain, *about.domains)):
        raise Wrong(_F.OTHER_DOMAIN, domain=about.domain, **line)


def _domain(_: OnboardingRules, value: list[str], __: Mapping[str, Any], ___: About) -> list[str]:
    found = [text.lower().removesuffix(".") for text in value]
    for number, text in enumerate(found, 1):
        if len(text) > 253 or not _DOMAIN.fullmatch(text):
            raise Wrong(_F.DOMAIN, line=number)
    return found


def _phone(_: OnboardingRules, value: str, __: Mapping[str, Any], ___: About) -> str:
    if not _PHONE.fullmatch(re.sub(r"[ ()/.-]", "", value)):
        raise Wrong(_F.PHONE)
    return value


def _is_under(host: str, domains: tuple[str, ...]) -> bool:
    return any(host == domain or host.endswith(f".{domain}") for domain in domains)


# --- URLs -----------------------------------------------------------------------------------------
def _public_url(_: OnboardingRules, value: str, __: Mapping[str, Any], ___: About) -> str:
    return _target(value).url


def _identity_url(
    rules: OnboardingRules, value: str, answers: Mapping[str, Any], about: About
) -> str:
    _require_own_host(rules, _target(value).host, answers, about)
    return value


def _issuer(rules: OnboardingRules, value: str, answers: Mapping[str, Any], about: About) -> str:
    """Check an issuer (OpenID Connect Discovery 1.0, 2): https, no query, no fragment."""
    found = _target(value)
    if "?" in value:
        raise Wrong(_F.URL)
    _require_own_host(rules, found.host, answers, about)
    return value


def _target(url: str) -> Target:
    """Return what a URL names, unless it is not public as far as that can be seen from it."""
    try:
        found = parse_target(url)
    except UrlRefused:
        raise Wrong(_F.URL) from None
    if found.is_address:
        if not is_public(ipaddress.ip_address(found.host)):
            raise Wrong(_F.NOT_PUBLIC)
    elif "." not in found.host or _is_under(found.host, _INSIDE):
        raise Wrong(_F.NOT_PUBLIC)
    return found


def _require_own_host(
    rules: OnboardingRules, host: str, answers: Mapping[str, Any], about: About
) -> None:
    """Refuse a host that seems to belong to another company.

    A provider that serves many companies has them under its own name, which says nothing.
    """
    named = tuple(answers.get("email_domains") or ())
    if not _is_under(host.lower(), (about.domain, *about.domains, *named, *rules.hosted)):
        raise Wrong(_F.OTHER_COMPANY, host=host, domain=about.domain)


def _saml_metadata(
    rules: OnboardingRules, value: str, answers: Mapping[str, Any], about: About
) -> str:
    try:
        found = read_metadata(value)
    except ValueError:
        raise Wrong(_F.NOT_METADATA) from None
    if not found.entity_id:
        raise Wrong(_F.NOT_METADATA)
    for url in found.sign_in_urls:
        _require_own_host(rules, _target(url).host, answers, about)
    host = urlsplit(found.entity_id).hostname if "://" in found.entity_id else None
    if host is not None:
        _require_own_host(rules, host, answers, about)
    _require_keys(found, about)
    return value


def _require_keys(found: SamlMetadata, about: About) -> None:
    if not found.ends:
        raise Wrong(_F.NO_CERTIFICATE)
    if found.keys > MOST_KEYS:
        raise Wrong(_F.TOO_MANY_KEYS, count=found.keys, most=MOST_KEYS)
    last = max(found.ends)
    if last <= about.now:
        raise Wrong(_F.CERTIFICATE_EXPIRED, day=f"{last:%Y-%m-%d}")


# --- places ---------------------------------------------------------------------------------------
def _networks(_: OnboardingRules, value: list[str], __: Mapping[str, Any], ___: About) -> list[str]:
    try:
        return list(allowed_networks(value, field="networks"))
    except InvalidInput as error:
        place = str(error.data.get("field", "")).rpartition(".")[2]
        number = int(place) + 1 if place.isdigit() else len(value)
        raise Wrong(_F.NETWORK, line=number) from None


def _region(_: OnboardingRules, value: list[str], __: Mapping[str, Any], about: About) -> list[str]:
    for number, region in enumerate(value, 1):
        if region not in about.known_regions:
            raise Wrong(_F.REGION, line=number)
        if about.allowed_regions is not None and region not in about.allowed_regions:
            raise Wrong(_F.REGION_OUTSIDE, line=number)
    if about.region is not None and about.region not in value:
        raise Wrong(_F.OWN_REGION, region=about.region)
    return value


def _kms_key(_: OnboardingRules, value: str, __: Mapping[str, Any], ___: About) -> str:
    if not _KEY_ARN.fullmatch(value):
        raise Wrong(_F.KMS_KEY)
    return value


# --- the pilot ------------------------------------------------------------------------------------
def _archetypes(
    rules: OnboardingRules, value: list[str], _: Mapping[str, Any], __: About
) -> list[str]:
    return _within(value, rules.pilot.archetypes)


def _skills(rules: OnboardingRules, value: list[str], _: Mapping[str, Any], __: About) -> list[str]:
    return _within(value, rules.pilot.skills)


def _within(value: list[str], bounds: tuple[int, int]) -> list[str]:
    least, most = bounds
    if not least <= len(value) <= most:
        raise Wrong(_F.COUNT, least=least, most=most, count=len(value))
    return value


def _cohort(
    _: OnboardingRules, value: list[str], answers: Mapping[str, Any], about: About
) -> list[str]:
    """Check a pilot group: each person once, of the company, with one of the archetypes."""
    archetypes = {each.casefold(): each for each in answers.get("archetypes") or ()}
    found: dict[str, str] = {}
    for number, text in enumerate(value, 1):
        email, archetype = (part.strip() for part in text.partition(",")[::2])
        try:
            email = email_of(email)
            _require_ours(email, about)
        except Wrong:
            raise Wrong(_F.COHORT_LINE, line=number, domain=about.domain) from None
        if archetype.casefold() not in archetypes:
            raise Wrong(_F.COHORT_LINE, line=number, domain=about.domain)
        if email.lower() in found:
            raise Wrong(_F.TWICE, line=number)
        found[email.lower()] = f"{email}, {archetypes[archetype.casefold()]}"
    return list(found.values())


VALIDATORS: Final[Mapping[Validator, Validate]] = {
    Validator.OWN_DOMAIN: _own_domain,
    Validator.OWN_EMAIL: _own_email,
    Validator.DOMAIN: _domain,
    Validator.REGION: _region,
    Validator.ISSUER: _issuer,
    Validator.IDENTITY_URL: _identity_url,
    Validator.PUBLIC_URL: _public_url,
    Validator.SAML_METADATA: _saml_metadata,
    Validator.NETWORKS: _networks,
    Validator.KMS_KEY: _kms_key,
    Validator.PHONE: _phone,
    Validator.ARCHETYPES: _archetypes,
    Validator.SKILLS: _skills,
    Validator.COHORT: _cohort,
}
