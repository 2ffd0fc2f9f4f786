"""What in a plan people should look at twice: protection that goes, rights that grow.

Reads the runner's operations and resources (``policies/pulumi_plan.py``) and names for each sign
the resource and the property that raise it. What cannot be compared counts.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Final

from policies.catalog import CATALOG, KIND_OF_TOKEN
from policies.documents import as_list, conditions, statements
from policies.pulumi_plan import is_unknown
from policies.resource_type import Loss, TypeFacts, snake
from policies.widening import denies, document_is_wider, rule_is_wider

PROTECTION: Final = "protection"
WIDENING: Final = "widening"
ACCOUNT_WIDE: Final = "account_wide"

_KEEPING: Final = frozenset({"update", "replace"})  # of something that exists already
_GOING: Final = frozenset({"delete"})
_COMING: Final = frozenset({"create", "import"})
_PROTECTING: Final = ("protect", "retainOnDelete")
# inputs that shorten the time in which a deletion can be taken back, or leave nothing behind
_CARE: Final[Mapping[str, Mapping[str, Loss]]] = {
    "aws_kms_key": {"deletion_window_in_days": Loss.SHRINKS},
    "aws_secretsmanager_secret": {"recovery_window_in_days": Loss.SHRINKS},
    "aws_s3_bucket_versioning": {"versioning_configuration": Loss.ANY},
    "aws_db_instance": {
        "delete_automated_backups": Loss.ANY,
        "final_snapshot_identifier": Loss.ANY,
    },
}
_LEAVES_NOTHING: Final = {"aws_db_instance": ("skip_final_snapshot", True)}
_GUARDS: Final = ("aws_s3_bucket_versioning", "aws_s3_bucket_lifecycle_configuration")
_RULES: Final = ("aws_vpc_security_group_ingress_rule", "aws_vpc_security_group_egress_rule")
_GROUPS: Final = ("aws_security_group", "aws_default_security_group")
_INLINE: Final = ("ingress", "egress")
# switches, and the value that opens
_SWITCHES: Final[Mapping[str, Mapping[str, bool]]] = {
    "aws_s3_bucket_public_access_block": {
        "block_public_acls": False, "block_public_policy": False,
        "ignore_public_acls": False, "restrict_public_buckets": False,
    },
    "aws_db_instance": {"publicly_accessible": True},
    "aws_subnet": {"map_public_ip_on_launch": True},
}  # fmt: skip
_ROUTES: Final = ("aws_route", "aws_internet_gateway", "aws_nat_gateway", "aws_eip",
                  "aws_egress_only_internet_gateway")  # fmt: skip
# what a part gives rights to, by the input that names it
_HOLDER: Final = {
    "aws_iam_role_policy": ("role", "aws_iam_role", "name"),
    "aws_iam_role_policy_attachment": ("role", "aws_iam_role", "name"),
    "aws_s3_bucket_policy": ("bucket", "aws_s3_bucket", "bucket"),
    "aws_kms_key_policy": ("key_id", "aws_kms_key", ""),
    "aws_secretsmanager_secret_policy": ("secret_arn", "aws_secretsmanager_secret", ""),
    **dict.fromkeys(_RULES, ("security_group_id", "aws_security_group", "")),
}
_IDENTITY: Final = ("aws_iam_role_policy", "aws_iam_policy")  # they say what somebody may do
# without a policy these let everybody, or the whole account, in
_OPEN_WITHOUT: Final = ("aws_vpc_endpoint", "aws_kms_key", "aws_kms_key_policy")
_OF_AWS: Final = re.compile(r"arn:aws[a-z-]*:iam::aws:policy/")
_EVERYTHING: Final = re.compile(
    r"\*|arn:aws[a-z-]*:(?:s3:[^:]*:[^:]*:\*(?:/\*)?|(?!s3:)[^:]*:[^:]*:[^:]*:(?:[a-z-]+[:/])?\*)"
)
_LISTING: Final = re.compile(r"[a-z0-9-]+:(?:describe|list)[a-z*]*\Z", re.IGNORECASE)
_NARROWING: Final = ("aws:resourcetag/", "s3:prefix", "dynamodb:leadingkeys", "kms:resourcealiases")


@dataclass(frozen=True, kw_only=True)
class Sign:
    """One thing to look at: ``risk`` is one of the three words, ``detail`` a sentence."""

    risk: str
    address: str
    path: str
    detail: str


@dataclass(frozen=True, kw_only=True)
class _Step:
    """An operation with the inputs that it leads to and, as far as they are known, from."""

    operation: Mapping[str, Any]
    kind: str
    facts: TypeFacts | None
    after: Mapping[str, Any] = field(default_factory=dict)
    protect: bool = False

    @property
    def op(self) -> str:
        return str(self.operation["op"])

    @property
    def address(self) -> str:
        return str(self.operation["urn"])

    @cached_property
    def changes(self) -> tuple[tuple[str, Mapping[str, Any]], ...]:
        """Each change with the name of the input that it is in."""
        renames = self.facts.renames if self.facts else {}
        heads = ((snake(re.split(r"[.\[]", str(c["path"]), maxsplit=1)[0]), c)
                 for c in self.operation.get("changes") or ())  # fmt: skip
        return tuple((renames.get(head, head), change) for head, change in heads)

    @cached_property
    def before(self) -> Mapping[str, Any]:
        """The inputs from which an update comes, where whole inputs change."""
        found = dict(self.after)
        for name, change in self.changes:
            if name == self.head(change):
                found[name] = change.get("before")
        return found

    def head(self, change: Mapping[str, Any]) -> str:
        """Return the input that a change is the whole of, empty where it is a part of one."""
        name = snake(str(change["path"]))
        return (self.facts.renames if self.facts else {}).get(name, name)

    def sign(self, risk: str, path: str, detail: str) -> Sign:
        return Sign(risk=risk, address=self.address, path=path, detail=detail)


def signs_of(
    operations: Sequence[Mapping[str, Any]], resources: Sequence[Mapping[str, Any]]
) -> tuple[Sign, ...]:
    """Return every sign in a plan, sorted by risk and address."""
    steps = _steps(operations, resources)
    made = _made(steps)
    signs = [
        sign
        for step in steps
        for found in (_protection(step), _widening(step, made), _account_wide(step, steps))
        for sign in found
    ]
    return tuple(
        sorted(dict.fromkeys(signs), key=lambda s: (s.risk, s.address, s.path, s.detail))
    )  # fmt: skip


def _steps(
    operations: Sequence[Mapping[str, Any]], resources: Sequence[Mapping[str, Any]]
) -> list[_Step]:
    inputs = {(str(r["urn"]), str(r["operation"])): r for r in resources}
    found = []
    for operation in operations:
        kind = KIND_OF_TOKEN.get(str(operation["type"]), str(operation["type"]))
        facts = CATALOG.get(kind)
        resource = inputs.get((str(operation["urn"]), str(operation["op"])), {})
        renames = facts.renames if facts else {}
        after = {}
        for key, value in (resource.get("inputs") or {}).items():
            name = snake(str(key))
            after[renames.get(name, name)] = value
        found.append(_Step(operation=operation, kind=kind, facts=facts, after=after,
                           protect=bool(resource.get("protect"))))  # fmt: skip
    return found


def _made(steps: Sequence[_Step]) -> frozenset[tuple[str, str]]:
    """Return kind and name of what the plan creates: to give rights to it widens nothing."""
    return frozenset(
        (step.kind, str(step.after.get(name)))
        for step in steps
        if step.op in _COMING
        for name in (step.facts.names if step.facts else ())
        if step.after.get(name) is not None
    )


def _protection(step: _Step) -> Iterator[Sign]:
    options = step.operation.get("options") or ()
    if "protect" in options and not step.protect:
        yield step.sign(PROTECTION, "protect", "its protection against deletion is taken away")
    if "retainOnDelete" in options:
        yield step.sign(PROTECTION, "retainOnDelete", "whether a deletion leaves it there changes")
    if step.op in _GOING and step.kind in _GUARDS:
        yield step.sign(PROTECTION, "", "what keeps older versions is removed")
    if step.op not in _KEEPING or step.facts is None:
        return
    facts = step.facts
    careful = replace(facts, losses={**facts.losses, **_CARE.get(step.kind, {})})
    disarming = [each for each in (facts.disarmed, _LEAVES_NOTHING.get(step.kind)) if each]
    for name, change in step.changes:
        path, after = str(change["path"]), change.get("after")
        known = {path: (change.get("before"), after)} if change.get("before_known", True) else {}
        if name == facts.guard and after is not True:
            yield step.sign(PROTECTION, path, "AWS no longer refuses its deletion")
        elif (name, after) in disarming:
            yield step.sign(PROTECTION, path, "a deletion leaves nothing behind")
        elif careful.loses_by([path], known):
            yield step.sign(PROTECTION, path, "what is kept, or for how long, changes")


# --- more is let through ------------------------------------------------------------------------
def _widening(step: _Step, made: frozenset[tuple[str, str]]) -> Iterator[Sign]:
    if step.op in _COMING:
        yield from _added(step, made)
    elif step.op in _GOING:
        yield from _removed(step)
    elif step.op in _KEEPING:
        yield from _opened(step)
        yield from _documents(step)
        if step.kind in _RULES:
            for sentence in rule_is_wider(step.before, step.after):
                yield step.sign(WIDENING, "", sentence)
        if step.kind in _GROUPS:
            yield from _inline_rules(step)


def _added(step: _Step, made: frozenset[tuple[str, str]]) -> Iterator[Sign]:
    """A part that is added to something that was there before."""
    if step.kind not in _HOLDER or _is_of(step, made):
        return
    if step.kind in _RULES:
        yield step.sign(WIDENING, "", "a rule is added to a security group that exists")
    elif step.kind == "aws_iam_role_policy_attachment":
        yield step.sign(WIDENING, "policyArn", "a role that exists gets another policy")
    elif _allows_something(step):
        yield step.sign(WIDENING, "policy", "something that exists gets another policy")


def _allows_something(step: _Step) -> bool:
    """Tell whether a policy that is added may allow anything: one that only denies does not."""
    names = step.facts.policies if step.facts else ()
    found = [step.after.get(name) for name in names]
    return not found or any(not each or document_is_wider("", each) for each in found)


def _is_of(step: _Step, made: frozenset[tuple[str, str]]) -> bool:
    by, kind, _ = _HOLDER[step.kind]
    value = step.after.get(by)
    # the id of what the plan makes is not known yet
    return is_unknown(value) or (kind, str(value)) in made


def _removed(step: _Step) -> Iterator[Sign]:
    if step.kind == "aws_s3_bucket_public_access_block":
        yield step.sign(WIDENING, "", "what keeps the bucket from being public is removed")
    if step.kind in _HOLDER and step.kind not in _IDENTITY and step.facts is not None:
        for name in step.facts.policies:
            if step.kind in _OPEN_WITHOUT or denies(step.after.get(name)):
                yield step.sign(WIDENING, name, "a policy is removed; what it denied is allowed")


def _opened(step: _Step) -> Iterator[Sign]:
    switches = _SWITCHES.get(step.kind, {})
    for name, change in step.changes:
        path, after = str(change["path"]), change.get("after")
        if name in switches and bool(after) is switches[name]:
            yield step.sign(WIDENING, path, "it is opened to the public")
        if name == "permissions_boundary":
            words = "is removed" if after is None else "is another one"
            yield step.sign(WIDENING, path, f"the boundary of its rights {words}")


def _documents(step: _Step) -> Iterator[Sign]:
    for full in step.facts.policies if step.facts else ():
        name, _, inner = full.partition(".")
        for head, change in step.changes:
            if head != name:
                continue
            path, before, after = str(change["path"]), change.get("before"), change.get("after")
            if change.get("before_known", True) is False:
                yield step.sign(WIDENING, path, "what it allowed before is not known")
            elif inner and not path.endswith(f".{inner}"):
                if after is not None:
                    yield step.sign(WIDENING, path, "a policy inside of it is added or changed")
            elif after in (None, "") and (step.kind in _OPEN_WITHOUT or denies(before)):
                yield step.sign(WIDENING, path, "a policy is removed; what it denied is allowed")
            else:
                for sentence in document_is_wider(before, after):
                    yield step.sign(WIDENING, path, sentence)


def _inline_rules(step: _Step) -> Iterator[Sign]:
    for head, change in step.changes:
        if head in _INLINE and change.get("after") is not None:
            yield step.sign(
                WIDENING, str(change["path"]), "a rule inside of it is added or changed"
            )


# --- the whole account --------------------------------------------------------------------------
def _account_wide(step: _Step, steps: Sequence[_Step]) -> Iterator[Sign]:
    if step.op not in _COMING | _KEEPING:
        return
    if step.kind == "aws_iam_role_policy_attachment":
        arn = step.after.get("policy_arn")
        if isinstance(arn, str) and _OF_AWS.match(arn):
            name = arn.rpartition("/")[2]
            detail = f"a policy of AWS is for all that an account has: {name}"
            yield step.sign(ACCOUNT_WIDE, "policyArn", detail)
        return
    if step.kind in _IDENTITY and not _is_boundary(step, steps):
        if step.op in _KEEPING and "policy" not in {name for name, _ in step.changes}:
            return
        for sentence in _of_everything(step.after.get("policy")):
            yield step.sign(ACCOUNT_WIDE, "policy", sentence)
    if step.kind == "aws_iam_role":
        for block in as_list(step.after.get("inline_policy")):
            document = block.get("policy") if isinstance(block, Mapping) else None
            for sentence in _of_everything(document):
                yield step.sign(ACCOUNT_WIDE, "inlinePolicies", sentence)


def _is_boundary(step: _Step, steps: Sequence[_Step]) -> bool:
    """Tell whether a managed policy bounds roles: then it gives no right to anybody."""
    if step.kind != "aws_iam_policy":
        return False
    if any(other.kind == "aws_iam_role_policy_attachment" for other in steps):
        return False
    bounds = [o.after.get("permissions_boundary") for o in steps if o.kind == "aws_iam_role"]
    name = f"/{step.after.get('name')}"
    return any(is_unknown(each) or str(each).endswith(name) for each in bounds if each)


def _of_everything(document: object) -> Iterator[str]:
    """Yield what a policy allows on whatever is in the account."""
    if is_unknown(document) or document in (None, ""):
        return  # the policies of a plan refuse a document that is not known
    try:
        found = statements(document)
    except ValueError:
        yield "its policy cannot be read"
        return
    for statement in found:
        if statement.get("Effect") != "Allow":
            continue
        if any(test.key.startswith(_NARROWING) for test in conditions(statement)):
            continue
        wide = [str(r) for r in as_list(statement.get("Resource")) if _EVERYTHING.fullmatch(str(r))]
        actions = [str(a) for a in as_list(statement.get("Action"))]
        if "NotResource" in statement or "NotAction" in statement:
            yield f"{statement.get('Sid') or 'a statement'} allows by exclusion"
        elif wide and not all(map(_LISTING.match, actions)):
            listed = ", ".join(actions[:3])
            yield f"allows {listed} on {wide[0]}"
