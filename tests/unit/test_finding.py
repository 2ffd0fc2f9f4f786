"""Findings: which a look opens, renews and closes."""

from __future__ import annotations

from typing import Any

from control_plane.domain.engine import Drift
from control_plane.domain.finding import compared
from tests.entities import Entities

BUCKET = "urn:pulumi:acme::tenantplane::aws:s3/bucket:Bucket::data"


def drift(kind: str = "changed", subject: str = BUCKET, path: str = "acl", **values: Any) -> Drift:
    return Drift(kind=kind, subject=subject, type="aws:s3/bucket:Bucket", path=path, **values)


def test_a_look_opens_what_it_sees_first_renews_what_it_sees_again_and_closes_the_rest() -> None:
    make = Entities()
    run = make.run(make.deployment(make.tenant()))
    kept, gone = make.finding(run, path="acl"), make.finding(run, path="tags.team")
    again, first = drift(actual="public"), drift("missing", path="")
    found = compared([kept, gone], [again, first])
    assert found.new == (first,)
    assert found.again == ((kept, again),)
    assert found.gone == (gone,)


def test_kind_subject_and_path_tell_one_finding_from_another() -> None:
    make = Entities()
    run = make.run(make.deployment(make.tenant()))
    kept = make.finding(run, path="acl")
    for other in (drift("foreign"), drift(subject="urn:other"), drift(path="policy")):
        found = compared([kept], [other])
        assert (found.new, found.gone) == ((other,), (kept,))


def test_a_finding_has_the_values_that_were_seen_last_and_its_first_look_stays() -> None:
    make = Entities()
    run = make.run(make.deployment(make.tenant()))
    kept = make.finding(run, expected="private", actual="public")
    assert kept.shows(drift(expected="private", actual="public"))
    later = make.clock.now()
    seen = kept.seen(drift(expected="private", actual="shared"), "run_2", later)
    assert (seen.actual, seen.first_seen_by, seen.last_seen_by) == ("shared", run.id, "run_2")
    assert not kept.shows(drift(expected="private", actual="shared"))
    closed = seen.closed("run_3", later)
    assert (closed.closed_by, closed.closed_at, closed.last_seen_by) == ("run_3", later, "run_2")
    assert [kept.version, seen.version, closed.version] == [1, 2, 3]
