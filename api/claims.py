"""From the claims of a verified token to an actor: whose it is, and whether a person holds it.

What is not shown to be a person is a machine. A machine never decides, so a claim that nobody
thought of costs a person a decision and never gives one to a machine.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from control_plane.domain.actor import Actor, ActorKind, Role
from control_plane.domain.errors import NotAuthenticated

MAX_SUBJECT: Final = 255
MAX_TENANTS: Final = 200
MAX_DELEGATIONS: Final = 8  # parties in a chain of `act` claims
PERSON_EVIDENCE: Final = ("amr", "auth_time")
_EXACT: Final = 2**53  # numbers beyond are not exact in JSON, and are no dates
# claims in which identity providers name the client that asked for the token
_CLIENTS: Final = ("client_id", "clientId", "azp", "appid", "cid")
_GRANTS: Final = ("gty", "grant_type")
_OTHER_ACTORS: Final = ("actor", "actort", "actortoken")  # `act` of providers older than RFC 8693
# grants, in letters alone, in which a person took part; any other is a machine's
_GRANTS_OF_PERSONS: Final = frozenset(
    {"authorizationcode", "password", "refreshtoken", "implicit", "devicecode",
     "urnietfparamsoauthgranttypedevicecode"}
)  # fmt: skip
# subjects that providers give to accounts of programs
_MACHINES: Final = re.compile(
    r".*@clients|system:serviceaccount:.*|service-account-.*|.*\.gserviceaccount\.com",
    re.IGNORECASE | re.DOTALL,
)
_NAMES: Final = ("sub", "preferred_username", "email", "username")


@dataclass(frozen=True, kw_only=True)
class TokenRules:
    """What a token must be; the claims are configurable, since every identity provider differs.

    ``person_evidence`` are claims; a person's token has at least one of them. ``person_claim``
    identifies the human behind an account. ``accept_id_style`` accepts tokens whose header does not
    say that they are access tokens.
    """

    issuer: str
    audience: str
    roles_claim: str = "roles"
    tenants_claim: str = "tenants"
    kind_claim: str = "actor_kind"
    person_claim: str = "sub"
    person_evidence: tuple[str, ...] = PERSON_EVIDENCE
    accept_id_style: bool = False
    max_life_seconds: float = 24 * 3600


class TokenRefused(NotAuthenticated):
    """A token did not verify. ``reason`` is for the log, ``shown`` is what the caller reads."""

    def __init__(
        self, reason: str, key_id: str | None = None, *, shown: str = "the token is invalid"
    ) -> None:
        super().__init__(shown)
        self.reason = reason
        self.key_id = key_id


def actor_of(claims: Mapping[str, Any], rules: TokenRules) -> Actor:
    """Return who holds a token with verified claims. Raises ``TokenRefused``."""
    subject = _name(claims, "sub", "subject")
    acting = _acting_party(claims)
    behalf = subject if acting is not None else _behalf(claims)
    roles = tuple(
        Role(name) for name in _texts(claims, rules.roles_claim) if name in frozenset(Role)
    )
    person = _person(claims, rules)
    is_person = (
        acting is None and behalf is None and Role.AUTOMATION not in roles
        and person is not None and _is_shown_to_be_a_person(claims, rules)
    )  # fmt: skip
    actor_id = acting or subject
    return Actor(
        id=actor_id,
        kind=ActorKind.USER if is_person else ActorKind.SERVICE,
        roles=roles,
        tenants=_tenants(claims, rules),
        on_behalf_of=behalf,
        issuer=rules.issuer,
        session=claims["sid"] if _is_name(claims.get("sid")) else None,
        methods=tuple(filter(_is_name, _texts(claims, "amr"))),
        person=person or behalf or actor_id,
    )


def _acting_party(claims: Mapping[str, Any]) -> str | None:
    """Return who acts for the subject, None without delegation (RFC 8693, section 4.1).

    The outermost ``act`` is the party that acts now; those inside acted before it. A chain that
    cannot be read is refused: who acts would be unknown.
    """
    if "act" not in claims:
        return None
    inner: Any = claims["act"]
    for _ in range(MAX_DELEGATIONS):
        if not isinstance(inner, dict):
            break
        _name(inner, "sub", "act")
        if "act" not in inner:
            if claims.get("on_behalf_of") not in (None, claims["sub"]):
                raise TokenRefused("on_behalf_of")
            return str(claims["act"]["sub"])
        inner = inner["act"]
    raise TokenRefused("act")


def _behalf(claims: Mapping[str, Any]) -> str | None:
    """Return the person whom a machine's own token names, by our own claim."""
    if claims.get("on_behalf_of") is None:
        return None
    return _name(claims, "on_behalf_of", "on_behalf_of")


def _person(claims: Mapping[str, Any], rules: TokenRules) -> str | None:
    """Return who is behind the account, None when the configured claim does not say.

    Directories spell one number or address in several ways, so the spelling is evened out; a
    subject is compared to the letter (OpenID Connect Core, section 2).
    """
    if rules.person_claim == "sub":
        return str(claims["sub"])
    value = claims.get(rules.person_claim)
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str):
        return None
    plain = value.strip().casefold()
    return plain if _is_name(plain) else None


def _is_shown_to_be_a_person(claims: Mapping[str, Any], rules: TokenRules) -> bool:
    if claims.get(rules.kind_claim, "user") != "user":
        return False
    if claims.get("idtyp", "user") != "user":  # Microsoft Entra: `app` is an application
        return False
    if any(name in claims for name in _OTHER_ACTORS):
        return False
    if any(_is_machine_grant(claims[name]) for name in _GRANTS if name in claims):
        return False
    subject = str(claims["sub"]).casefold()
    if any(str(claims.get(name)).casefold() == subject for name in _CLIENTS):
        return False
    if any(_MACHINES.fullmatch(str(claims.get(name, ""))) for name in _NAMES):
        return False
    return any(_is_evidence(name, claims.get(name)) for name in rules.person_evidence)


def _is_machine_grant(value: Any) -> bool:
    grants = value if isinstance(value, list) else [value]
    plain = {re.sub(r"[^a-z]", "", str(grant).lower()) for grant in grants}
    return not plain or not plain <= _GRANTS_OF_PERSONS


def _is_evidence(name: str, value: Any) -> bool:
    if name == "auth_time":  # some providers write 0 for clients
        return is_number(value) and value > 0
    if isinstance(value, list):
        return any(isinstance(item, str) and item.strip() for item in value)
    if isinstance(value, str):
        return bool(value.strip())
    return value is True or (is_number(value) and value > 0)


def _tenants(claims: Mapping[str, Any], rules: TokenRules) -> tuple[str, ...]:
    found = _texts(claims, rules.tenants_claim)
    if len(found) > MAX_TENANTS:
        raise TokenRefused(
            "tenants",
            shown=f"the token names {len(found)} tenants, but at most {MAX_TENANTS} are allowed; "
            "ask your identity provider for a token with fewer, or with `*` for all",
        )
    return found


def _texts(claims: Mapping[str, Any], name: str) -> tuple[str, ...]:
    value = claims.get(name)
    if isinstance(value, str):
        value = value.split()
    if not isinstance(value, list):
        return ()
    return tuple(item for item in value if isinstance(item, str))


def _name(claims: Mapping[str, Any], name: str, reason: str) -> str:
    value = claims.get(name)
    if not _is_name(value):
        raise TokenRefused(reason)
    return str(value)


def _is_name(value: Any) -> bool:
    """Tell whether a claim can be stored and shown as a name."""
    return isinstance(value, str) and 0 < len(value) <= MAX_SUBJECT and value.isprintable()


def is_number(value: Any) -> bool:
    """Tell whether a claim is a finite number that can be a time."""
    return (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and -_EXACT < value < _EXACT
        and math.isfinite(value)
    )
