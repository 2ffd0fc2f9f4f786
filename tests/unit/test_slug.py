from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from control_plane.adapters.rules.loader import load_rules
from control_plane.domain.slug import candidates, is_slug, short_name, slug_for

RULES_FOLDER = Path(__file__).parents[2] / "rules"
TENANT = "ten_01J0000000000000000000000A"
unhurried = settings(deadline=None)  # how long an example takes says nothing about slugs
HASH4, HASH8 = "5bl2", "5bl23fqk"  # base32 of the SHA-256 of that id


@cache
def rules():
    return load_rules(RULES_FOLDER).slug


def slug(name: str, domain: str = "", tenant: str = TENANT) -> str:
    return slug_for(name, domain, tenant, rules())


@pytest.mark.requirement("J-021")
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Dainese S.p.A.", "dainese"),
        ("DAINESE SPA", "dainese"),
        ("Dainese S. p. A.", "dainese"),
        ("Straße & Söhne GmbH", "strasse-and-sohne"),
        ("STRASSE & SÖHNE GMBH", "strasse-and-sohne"),
        ("İstanbul Ltd", "istanbul"),
        ("ISPARTA ılıca", "isparta-ilica"),
        ("ØRSTED A/S", "orsted"),
        ("3M", "c-3m"),
        ("A--B", "a-b"),
        ("International Business Machines Corporation Holdings", "international-business-machines"),
        ("Æther Œuvre", "aether-oeuvre"),
        ("Łódź Đuro Þór Ltd.", "lodz-duro-thor"),
        ("Müller GmbH & Co. KG", "muller"),
        ("Smith & Co", "smith"),
        ("Acme, Inc.", "acme"),
        ("Oracle Co., Ltd.", "oracle"),
        ("Sampo Oyj", "sampo"),
        ("Bimbo S.A. de C.V.", "bimbo"),
        ("Žabka Sp. z o.o.", "zabka"),
        ("株式会社 ABC", "abc"),
        ("  Wide   Spaces  ", "wide-spaces"),
        ("ﬁnance ①", "finance-1"),
        ("7-Eleven", "c-7-eleven"),
        ("Ltd Partners", "ltd-partners"),
        ("x/../../etc", "x-etc"),
        ("--acme--", "acme"),
        ("Rock'n'Roll", "rock-n-roll"),
        # only a legal form: it is the name
        ("GmbH", "gmbh"),
        ("Inc. Ltd.", "inc"),
        # cut at a hyphen
        ("aaaa bbbb cccc dddd eeee ffff ggg", "aaaa-bbbb-cccc-dddd-eeee-ffff"),
        ("aaaa bbbb cccc dddd eeee ffff gg", "aaaa-bbbb-cccc-dddd-eeee-ffff-gg"),
        # reserved, too short, one word too long: 4 characters of the tenant id's hash
        ("Admin", f"admin-{HASH4}"),
        ("Tenantplane Ltd", f"tenantplane-{HASH4}"),
        ("Hub S.r.l.", f"hub-{HASH4}"),
        ("HP", f"hp-{HASH4}"),
        ("X AB", f"x-{HASH4}"),
        ("Donaudampfschifffahrtselektrizität", f"donaudampfschifffahrtselekt-{HASH4}"),
        ("9onaudampfschifffahrtselektrizität", f"c-9onaudampfschifffahrtsele-{HASH4}"),
        ("a donaudampfschifffahrtselektrizität", f"a-donaudampfschifffahrtsele-{HASH4}"),
    ],
)  # fmt: skip
def test_the_golden_table(name, expected):
    assert slug(name, "example.com") == expected


@pytest.mark.parametrize(
    ("domain", "expected"),
    [
        ("dainese.com", "dainese"),
        ("mail.dainese.com", "dainese"),
        ("mail.example.co.uk", "example"),
        ("EXAMPLE.CO.JP.", "example"),
        ("co.uk", f"co-{HASH4}"),
        ("localhost", f"localhost-{HASH4}"),
        ("xn--mller-kva.de", "muller"),
        ("xn--80ak6aa92e.com", f"t-{HASH8}"),  # Cyrillic
        ("xn--.com", f"xn-{HASH4}"),
        ("", f"t-{HASH8}"),
        ("...", f"t-{HASH8}"),
    ],
)
def test_a_name_that_gives_nothing_falls_back_to_the_domain_and_then_to_the_id(domain, expected):
    assert slug("株式会社サンプル", domain) == expected


@pytest.mark.requirement("J-021")
@unhurried
@given(st.text(max_size=80), st.text(max_size=40), st.text(min_size=1, max_size=30))
def test_every_name_gives_a_slug(name, domain, tenant):
    found = slug(name, domain, tenant)
    assert is_slug(found), found
    assert found not in rules().reserved
    assert slug(name, domain, tenant) == found


@unhurried
@given(st.text(alphabet="abc3 -.&ßø", max_size=80))
def test_names_near_the_length_limit_give_slugs(name):
    assert is_slug(slug(name))


@unhurried
@given(st.text(max_size=60), st.text(min_size=1, max_size=30))
def test_twelve_different_candidates_all_of_them_slugs(name, tenant):
    base = slug(name, "", tenant)
    found = list(candidates(base, tenant))
    assert found[0] == base
    assert len(set(found)) == len(found) == 12
    assert all(is_slug(each) for each in found)
    assert not rules().reserved & set(found)


def test_the_order_of_the_candidates():
    assert list(candidates("acme", TENANT))[:10] == [
        "acme", "acme-2", "acme-3", "acme-4", "acme-5", "acme-6", "acme-7", "acme-8", "acme-9",
        f"acme-{HASH4}",
    ]  # fmt: skip


def test_a_long_base_makes_room_for_its_suffix():
    base = "a" * 29 + "-bb"
    assert list(candidates(base, TENANT))[1] == "a" * 29 + "-2"


def test_two_tenants_never_share_their_last_candidate():
    assert list(candidates("acme", "ten_1"))[-1] != list(candidates("acme", "ten_2"))[-1]


@unhurried
@given(st.text(max_size=60), st.text(min_size=1, max_size=30))
def test_a_short_name_begins_physical_names(name, deployment):
    short = short_name(slug(name), deployment)
    assert len(short) <= 27
    assert is_slug(short)


def test_short_names_of_two_deployments_differ():
    assert short_name("acme", "dep_1") != short_name("acme", "dep_2")
    assert short_name("acme", "dep_1") == short_name("acme", "dep_1")
    assert short_name("a" * 19 + "-bcd", "dep_1").startswith("a" * 19 + "-")


@pytest.mark.parametrize(
    "text", ["", "ab", "Acme", "a--b", "-ab", "ab-", "3ab", "a" * 33, "a\nb", "abc\n", "ä-b"]
)
def test_what_is_no_slug(text):
    assert not is_slug(text)
