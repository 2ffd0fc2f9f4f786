"""No company has a name that makes a physical name which AWS keeps for itself."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from control_plane.adapters.rules.loader import load_rules
from control_plane.domain.slug import is_slug, short_name, slug_for
from stacks.components.naming import Names

ROOT: Final = Path(__file__).parents[2]
RULES: Final = load_rules(ROOT / "rules").slug
ACCOUNT: Final = "123456789012"
DEPLOYMENT: Final = "dep_01J0000000000000000000000A"
# what a service refuses, and where it says so
S3: Final = re.compile(  # S3 user guide, "General purpose bucket naming rules"
    r"xn--.*|sthree-.*|amzn-s3-demo-.*|.*(-s3alias|--ol-s3|\.mrap|--x-s3|--table-s3|-an)"
)
GROUP: Final = re.compile(r"sg-.*")  # EC2 API reference, CreateSecurityGroup
PARAMETER: Final = re.compile(r"/?(aws|ssm).*", re.IGNORECASE)  # SSM API reference, PutParameter
ALIAS: Final = re.compile(r"alias/aws/.*")  # KMS API reference, CreateAlias
SECRET: Final = re.compile(r".*-[A-Za-z0-9]{6}")  # Secrets Manager, CreateSecret: looks like an ARN
RDS: Final = re.compile(r".*--.*|.*-|[^a-z].*|.{64,}|(default|rds)[.:].*")  # CreateDBInstance

HOSTILE: Final = [
    "SG Fleet Group Limited", "SG Ltd", "sg", "SG", "sg-", "Sg 1", "SThree plc", "sthree", "AWS",
    "AWS Partners", "Awsome Shoes", "Amzn S3 Demo Ltd", "amzn-s3-demo", "amzn", "xn--80ak6aa92e",
    "XN", "SSM", "ssm-park", "ssmith & co", "Acme s3alias", "Acme -- ol-s3", "acme.mrap",
    "x-s3", "acme--x-s3", "Acme table-s3", "Acme AN", "alias", "aws/", "rds:acme", "default",
    "3M", "s3alias",
]  # fmt: skip


def _names(short: str) -> dict[str, tuple[re.Pattern[str], list[str]]]:
    """Return every name that is derived from a prefix: those of Pulumi and those of Terraform."""
    names = Names(short=short, account_id=ACCOUNT, region="eu-west-1")
    templates = re.findall(r'= "([^"]*\$\{var\.owner\.short\}[^"]*)"', LOCALS)
    terraform = [
        text.replace("${var.owner.short}", short)
        .replace("${var.account_id}", ACCOUNT)
        .replace("${var.owner.install_id}", "00000a")
        for text in templates
    ]
    assert len(terraform) > 15
    return {
        "s3": (S3, [names.bucket("data"), names.bucket("logs"), short]),
        "groups": (GROUP, [names.of(what) for what in ("app", "db", "endpoints")]),
        "parameters": (PARAMETER, [names.path, f"{names.path}/log-group", short]),
        "aliases": (ALIAS, [names.key_alias(what) for what in ("data", "logs", "secrets")]),
        "secrets": (SECRET, [names.secret(what) for what in ("app", "idp")]),
        "databases": (RDS, [names.of(what) for what in ("db", "db-final-00000a", "postgres16")]),
        "terraform groups": (GROUP, terraform),
        "terraform parameters": (PARAMETER, terraform),
        "terraform buckets": (S3, terraform),
    }


LOCALS: Final = (ROOT / "stacks/mode_c_modules/locals.tf").read_text(encoding="utf-8")


def _require_free(name: str) -> None:
    slug = slug_for(name, "example.com", "ten_01J0000000000000000000000A", RULES)
    short = short_name(slug, DEPLOYMENT)
    assert is_slug(short), short
    assert len(short) <= 27
    for service, (refused, found) in _names(short).items():
        taken = [each for each in found if refused.fullmatch(each)]
        assert not taken, (service, taken)


@pytest.mark.parametrize("name", HOSTILE)
def test_a_name_that_aws_keeps_is_never_made(name: str) -> None:
    _require_free(name)


@settings(deadline=None)
@given(
    st.sampled_from(["sg", "aws", "ssm", "sthree", "amzn-s3-demo", "xn-"]),
    st.text(alphabet="abc3 -.&ßø", max_size=40),
)
def test_no_name_with_such_a_beginning_makes_one_either(start: str, rest: str) -> None:
    _require_free(start + rest)


def test_a_prefix_says_why_it_begins_otherwise() -> None:
    assert short_name("sg-fleet-group", DEPLOYMENT).startswith("c-sg-fleet-group-")
    assert short_name("sthree", DEPLOYMENT).startswith("c-sthree-")
    assert short_name("sgx", DEPLOYMENT).startswith("sgx-")
