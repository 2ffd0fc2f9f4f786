"""The steps of a customer's onboarding as a document says them: fields, needs, checks, texts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

LANGUAGES: Final = ("en", "de", "it")
LONGEST_LINE: Final = 200
LONGEST_TEXT: Final = 4000
LONGEST_XML: Final = 128_000
Texts = Mapping[str, str]  # by language
Answers = Mapping[str, Any]


class FieldType(StrEnum):
    """What a field takes; ``notice`` takes nothing and says where something goes."""

    TEXT = "text"
    LONG = "long"
    EMAIL = "email"
    URL = "url"
    NUMBER = "number"
    CHOICE = "choice"
    FLAG = "flag"
    LINES = "lines"
    XML = "xml"
    NOTICE = "notice"


class Validator(StrEnum):
    """What is checked of a value beyond its type; nothing of it needs a network."""

    OWN_DOMAIN = "own_domain"
    OWN_EMAIL = "own_email"
    DOMAIN = "domain"
    REGION = "region"
    ISSUER = "issuer"
    IDENTITY_URL = "identity_url"
    PUBLIC_URL = "public_url"
    SAML_METADATA = "saml_metadata"
    NETWORKS = "networks"
    KMS_KEY = "kms_key"
    PHONE = "phone"
    ARCHETYPES = "archetypes"
    SKILLS = "skills"
    COHORT = "cohort"


class FaultCode(StrEnum):
    """Why an answer is not taken; the document has a sentence for each in every language."""

    REQUIRED = "required"
    ACCEPT = "accept"
    NOT_AGREED = "not_agreed"
    ONE_OF = "one_of"
    KIND = "kind"
    UNKNOWN = "unknown"
    TEXT = "text"
    NUMBER = "number"
    CHOICE = "choice"
    COUNT = "count"
    TWICE = "twice"
    EMAIL = "email"
    OTHER_DOMAIN = "other_domain"
    DOMAIN = "domain"
    URL = "url"
    NOT_PUBLIC = "not_public"
    OTHER_COMPANY = "other_company"
    TOO_LARGE = "too_large"
    NOT_METADATA = "not_metadata"
    NO_CERTIFICATE = "no_certificate"
    TOO_MANY_KEYS = "too_many_keys"
    CERTIFICATE_EXPIRED = "certificate_expired"
    NETWORK = "network"
    REGION = "region"
    REGION_OUTSIDE = "region_outside"
    OWN_REGION = "own_region"
    KMS_KEY = "kms_key"
    PHONE = "phone"
    COHORT_LINE = "cohort_line"
    COHORT_SIZE = "cohort_size"


class StepCheck(StrEnum):
    """What has to hold before a step is complete, whatever was answered."""

    LINK_REDEEMED = "link_redeemed"
    MODE_SETTLED = "mode_settled"
    TENANT_READY = "tenant_ready"
    NO_HOLD = "no_hold"
    NO_DRIFT = "no_drift"
    RESIDENCY_KEPT = "residency_kept"
    AUDIT_LOG_VERIFIES = "audit_log_verifies"


# faults of an answer that is not finished; it can be saved with them
UNFINISHED: Final = frozenset(
    {FaultCode.REQUIRED, FaultCode.ACCEPT, FaultCode.NOT_AGREED, FaultCode.ONE_OF,
     FaultCode.COHORT_SIZE}
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Option:
    """A value of a choice."""

    value: str
    label: Texts


@dataclass(frozen=True, kw_only=True)
class Field:
    """A field of a step. ``when`` is another field with the value for which this one is asked.

    ``modes`` None is every mode. ``count`` bounds the lines, ``span`` a number. ``must_be`` is the
    choice with which alone the step is complete.
    """

    key: str
    type: FieldType
    label: Texts
    help: Texts | None = None
    is_required: bool = False
    modes: frozenset[str] | None = None
    when: tuple[str, str] | None = None
    validator: Validator | None = None
    options: tuple[Option, ...] = ()
    count: tuple[int, int] | None = None
    span: tuple[int, int] | None = None
    must_be: str | None = None

    @property
    def longest(self) -> int:
        """How many characters it takes, as one text."""
        if self.type is FieldType.XML:
            return LONGEST_XML
        if self.type is FieldType.LINES:
            return (self.count or (0, 1))[1] * (LONGEST_LINE + 1)
        return LONGEST_TEXT if self.type is FieldType.LONG else LONGEST_LINE

    def is_asked(self, answers: Answers) -> bool:
        """Tell whether the answers so far make it a question."""
        return self.when is None or answers.get(self.when[0]) == self.when[1]


@dataclass(frozen=True, kw_only=True)
class StepRule:
    """A step of the document. At least one field of each group in ``one_of`` has an answer."""

    key: str
    who: str
    title: Texts
    help: Texts
    needs: tuple[str, ...]
    checks: tuple[StepCheck, ...]
    fields: tuple[Field, ...]
    one_of: tuple[tuple[str, ...], ...] = ()
    titles: Mapping[str, Texts] = field(default_factory=dict)  # by mode, where it has its own

    def title_for(self, mode: str | None) -> Texts:
        """Return its title for a tenant of a mode."""
        return self.titles.get(mode or "", self.title)

    def variant(self, mode: str | None) -> tuple[Field, ...]:
        """Return the fields that a tenant of a mode has."""
        return tuple(each for each in self.fields if each.modes is None or mode in each.modes)

    def schema(self, mode: str | None) -> dict[str, Any]:
        """Return the JSON Schema (draft 2020-12) of what can be saved for a tenant of a mode.

        What needs to be known of the tenant, or of other fields, is checked beyond it.
        """
        fields = [each for each in self.variant(mode) if each.type is not FieldType.NOTICE]
        return {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "type": "object",
            "additionalProperties": False,
            "properties": {each.key: _schema_of(each) for each in fields},
        }


@dataclass(frozen=True, kw_only=True)
class PilotRules:
    """How many people, archetypes and skills a pilot has, at least and at most."""

    people: tuple[int, int]
    archetypes: tuple[int, int]
    skills: tuple[int, int]


@dataclass(frozen=True, kw_only=True)
class OnboardingRules:
    """The onboarding document, parsed."""

    digest: str
    steps: tuple[StepRule, ...]
    pilot: PilotRules
    hosted: tuple[str, ...]  # hosts of identity providers that serve many companies
    checks: Mapping[StepCheck, Texts]
    faults: Mapping[FaultCode, Texts]

    @property
    def by_key(self) -> Mapping[str, StepRule]:
        """The steps by their keys."""
        return {each.key: each for each in self.steps}

    def dependants(self, key: str) -> tuple[str, ...]:
        """Return the steps that need one, directly or through others, in the document's order."""
        reached = {key}
        for each in self.steps:  # a step comes after those that it needs
            if reached.intersection(each.needs):
                reached.add(each.key)
        return tuple(each.key for each in self.steps if each.key in reached and each.key != key)


def _schema_of(field: Field) -> dict[str, Any]:
    found: dict[str, Any] = {"title": field.label["en"]}
    if field.help is not None:
        found["description"] = field.help["en"]
    if field.type is FieldType.FLAG:
        return {**found, "type": "boolean"}
    if field.type is FieldType.CHOICE:
        return {**found, "enum": [each.value for each in field.options]}
    if field.type is FieldType.NUMBER:
        least, most = field.span or (0, 0)
        return {**found, "type": "integer", "minimum": least, "maximum": most}
    if field.type is FieldType.LINES:
        line = {"type": "string", "minLength": 1, "maxLength": LONGEST_LINE}
        return {**found, "type": "array", "items": line, "maxItems": (field.count or (0, 1))[1]}
    return {**found, "type": "string", "minLength": 1, "maxLength": field.longest}
