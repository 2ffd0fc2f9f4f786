"""The state that is made from the engine's journal is the one that the engine would have made.

Entry by entry below; ``test_journal_as_the_engine.py`` holds it against the real one.
"""

from __future__ import annotations

import copy
import hashlib
from typing import Any

import pytest

from stacks.engine.journal import Kind, replay

pytestmark = pytest.mark.timeout(60)

ENGINE = "v3.259.0"
STACK = "pulumi:pulumi:Stack"
PARAMETER = "aws:ssm/parameter:Parameter"


def urn(name: str, types: str = PARAMETER) -> str:
    return f"urn:pulumi:s::tenantplane::{types}::{name}"


def resource(name: str, types: str = PARAMETER, **more: Any) -> dict[str, Any]:
    return {"urn": urn(name, types), "type": types.rsplit("$", 1)[-1], "id": name, **more}


def creating(name: str, kind: str = "creating") -> dict[str, Any]:
    return {"resource": {"urn": urn(name)}, "type": kind}


class Journal:
    """Entries as an engine would send them, one after the other."""

    def __init__(self, *base: dict[str, Any], **more: Any) -> None:
        self.base: dict[str, Any] | None = {"resources": list(base), **more}
        self.entries: list[dict[str, Any]] = []

    def say(self, kind: Kind, number: int = 0, /, **more: Any) -> Journal:
        said = {"kind": int(kind), "sequenceID": len(self.entries) + 1, "operationID": number}
        self.entries.append({"version": 1, "removeOld": None, "removeNew": None, **said, **more})
        return self

    def begin(self, operation: int, name: str = "x", kind: str = "creating") -> Journal:
        return self.say(Kind.BEGIN, operation, operation=creating(name, kind))

    def step(self, operation: int, **more: Any) -> Journal:
        return self.begin(operation).say(Kind.SUCCESS, operation, **more)

    def state(self) -> dict[str, Any]:
        before = copy.deepcopy((self.base, self.entries))
        state = replay(self.base, self.entries, engine=ENGINE)
        assert (self.base, self.entries) == before  # neither is changed
        again = replay(self.base, self.entries, engine=ENGINE)
        assert {**again, "manifest": None} == {**state, "manifest": None}
        return state

    def ids(self) -> list[str]:
        return [r["id"] for r in self.state()["resources"]]


def pending(state: dict[str, Any]) -> list[tuple[str, str]]:
    found = state.get("pending_operations") or ()
    return [(p["type"], p["resource"]["urn"]) for p in found]


A, B, C = resource("a"), resource("b"), resource("c")


def test_without_entries_it_is_the_state_before() -> None:
    journal = Journal(A, B, metadata={"x": 1})
    state = journal.state()
    assert (state["resources"], state["metadata"]) == ([A, B], {"x": 1})
    assert "pending_operations" not in state
    journal.base = None
    assert journal.state()["resources"] == []


def test_it_is_signed_as_the_engine_signs_what_it_writes() -> None:
    manifest = Journal(A, manifest={"magic": "old", "version": "v1"}).state()["manifest"]
    assert manifest["version"] == ENGINE
    assert manifest["magic"] == hashlib.sha256(ENGINE.encode()).hexdigest()


# --- steps -----------------------------------------------------------------------------------
def test_a_step_that_has_begun_is_pending_until_it_has_ended() -> None:
    journal = Journal(A).begin(1, "b").begin(2, "a", "updating").say(Kind.BEGIN, 3)
    assert journal.ids() == ["a"]
    assert pending(journal.state()) == [("creating", urn("b")), ("updating", urn("a"))]
    journal.say(Kind.SUCCESS, 1, state=B).say(Kind.FAILURE, 2, removeOld=0, state=C)
    assert journal.ids() == ["b", "a"]
    assert pending(journal.state()) == []


def test_what_failed_changes_nothing() -> None:
    journal = Journal(A)
    for operation, kind in enumerate(("creating", "updating", "deleting"), start=1):
        journal.begin(operation, "a", kind)
        journal.say(Kind.FAILURE, operation, state=B, removeOld=0, deleteOld=0)
    state = journal.state()
    assert (state["resources"], pending(state)) == ([A], [])


def test_what_was_made_comes_before_what_was_left_alone() -> None:
    changed = resource("b", inputs={"value": 2})
    journal = Journal(A, B).step(1, state=C).step(2, state=changed, removeOld=1)
    assert journal.state()["resources"] == [C, changed, A]
    journal.step(3, removeOld=0)
    assert journal.state()["resources"] == [C, changed]
    journal.step(4, removeNew=1)
    assert journal.state()["resources"] == [changed]


def test_entries_are_taken_in_the_order_of_the_engine() -> None:
    journal = Journal().step(1, state=A).step(2, state=B).step(3, state=C)
    journal.entries.reverse()
    assert journal.ids() == ["a", "b", "c"]


def test_a_thing_that_is_replaced_is_marked_until_it_is_deleted() -> None:
    new = resource("a", inputs={"name": "new"})
    journal = Journal(B, A).step(1, state=new, deleteOld=1)
    assert journal.state()["resources"] == [new, B, {**A, "delete": True}]
    journal.step(2, removeOld=0, state=B).step(3, removeOld=1)
    assert journal.state()["resources"] == [new, B]


def test_a_thing_that_is_deleted_before_it_is_replaced_is_marked_until_it_is_made() -> None:
    journal = Journal(A).step(1, pendingReplacementOld=0)
    assert journal.state()["resources"] == [{**A, "pendingReplacement": True}]
    new = resource("a", inputs={"name": "new"})
    journal.step(2, state=new, removeOld=0)
    assert journal.state()["resources"] == [new]


def test_what_was_made_in_the_same_update_is_marked_and_deleted_too() -> None:
    journal = Journal().step(1, state=A).step(2, state=B)
    journal.step(3, deleteNew=1).step(4, pendingReplacementNew=2)
    marked = [{**A, "delete": True}, {**B, "pendingReplacement": True}]
    assert journal.state()["resources"] == marked
    journal.step(5, removeNew=1).step(6, state=C, removeNew=2)
    assert journal.state()["resources"] == [C]


def test_outputs_enter_the_resource_where_it_is() -> None:
    a, b = (resource(name, outputs={"x": 1}) for name in "ab")
    journal = Journal(A).step(1, state=B)
    journal.say(Kind.OUTPUTS, 2, removeOld=0, state=a).say(Kind.OUTPUTS, 3, removeNew=1, state=b)
    assert journal.state()["resources"] == [b, a]
    journal.say(Kind.OUTPUTS, 4, removeOld=0)  # says nothing
    assert journal.state()["resources"] == [b, a]
    journal.step(5, removeOld=0).say(Kind.OUTPUTS, 6, removeOld=0, state=a)
    assert journal.state()["resources"] == [b]


# --- a refresh -------------------------------------------------------------------------------
def referring(name: str, *to: str) -> dict[str, Any]:
    """Return a resource that refers to others in every way."""
    last = urn(to[-1])
    return resource(
        name,
        dependencies=[urn(each) for each in to],
        propertyDependencies={each: [urn(each)] for each in to},
        replaceWith=[urn(each) for each in to],
        deletedWith=last,
        parent=last,
    )


def test_a_refresh_writes_what_it_found_in_place() -> None:
    found = resource("a", outputs={"x": 2})
    journal = Journal(A, B, C).begin(1, "a", "refreshing")
    journal.say(Kind.REFRESHED, 1, removeOld=0, state=found)
    assert journal.state()["resources"] == [found, B, C]
    journal.step(2, state=B, removeOld=1)
    journal.say(Kind.REFRESHED, 3, removeNew=2, state={**B, "outputs": {"x": 3}})
    assert journal.state()["resources"] == [{**B, "outputs": {"x": 3}}, found, C]
    assert pending(journal.state()) == []


def test_nothing_refers_to_what_a_refresh_did_not_find() -> None:
    both, one = referring("c", "a", "b"), referring("d", "b")
    journal = Journal(A, B, both, one).say(Kind.REFRESHED, 1, removeOld=1)
    assert journal.state()["resources"] == [
        A,
        resource("c", dependencies=[urn("a")], propertyDependencies={"a": [urn("a")]},
                 replaceWith=[urn("a")]),
        resource("d"),
    ]  # fmt: skip
    journal.say(Kind.REFRESHED, 2, removeOld=0)
    assert journal.state()["resources"] == [resource("c"), resource("d")]


def test_a_refresh_before_an_update_takes_references_out_as_well() -> None:
    journal = Journal(A, referring("c", "a"))
    journal.step(1, removeOld=0, isRefresh=True)
    assert journal.state()["resources"] == [resource("c")]
    without = Journal(A, referring("c", "a")).step(1, removeOld=0)
    assert without.state()["resources"] == [referring("c", "a")]  # for the engine to refuse


def test_a_resource_that_was_made_in_the_update_may_be_gone_too() -> None:
    journal = Journal().step(1, state=A).step(2, state=B).say(Kind.REFRESHED, 3, removeNew=1)
    assert journal.state()["resources"] == [B]


def test_what_was_found_and_then_deleted_is_gone_in_either_order() -> None:
    found = resource("a", outputs={"x": 2})
    for entries in (
        Journal(A, B).say(Kind.REFRESHED, 1, removeOld=0, state=found).step(2, removeOld=0),
        Journal(A, B).step(1, removeOld=0).say(Kind.REFRESHED, 2, removeOld=0, state=found),
    ):
        assert entries.state()["resources"] == [B]


def test_what_is_rebuilt_is_the_state_before_what_follows() -> None:
    journal = Journal(A, B, C).begin(7, "x", "reading")
    journal.say(Kind.REFRESHED, 1, removeOld=0).say(Kind.REBUILT)
    state = journal.state()
    assert (state["resources"], pending(state)) == ([B, C], [])
    # places are those in what was rebuilt, and operations begin anew
    changed = resource("c", inputs={"value": 2})
    journal.step(1, state=changed, removeOld=1).step(2, removeOld=0)
    assert journal.state()["resources"] == [changed]


# --- operations that were interrupted --------------------------------------------------------
def test_creates_that_were_interrupted_before_stay_and_nothing_else_does() -> None:
    olds = [creating("x"), creating("y", "updating"), creating("z", "deleting")]
    journal = Journal(A, pending_operations=olds)
    assert pending(journal.state()) == [("creating", urn("x"))]
    journal.begin(1, "b", "updating")
    assert pending(journal.state()) == [("updating", urn("b")), ("creating", urn("x"))]
    journal.say(Kind.REBUILT).step(2, state=B)
    assert pending(journal.state()) == [("creating", urn("x"))]


def test_creates_that_are_interrupted_stay_when_the_state_is_rebuilt() -> None:
    journal = Journal().begin(1, "a").begin(2, "b", "reading").say(Kind.REBUILT)
    assert pending(journal.state()) == [("creating", urn("a"))]


# --- names -----------------------------------------------------------------------------------
def test_everything_refers_to_a_resource_by_the_name_that_it_has_now() -> None:
    old = urn("old")
    others = resource(
        "b", dependencies=[old, urn("a")], propertyDependencies={"x": [old], "y": [urn("a")]},
        replaceWith=[old], deletedWith=old, provider=f"{old}::0f8f",
    )  # fmt: skip
    renamed = resource("new", aliases=[old, urn("older")])
    resources = Journal(resource("old"), A, others).step(1, state=renamed, removeOld=0).state()
    new = urn("new")
    assert resources["resources"] == [
        resource("new"),
        A,
        resource(
            "b", dependencies=[new, urn("a")], propertyDependencies={"x": [new], "y": [urn("a")]},
            replaceWith=[new], deletedWith=new, provider=f"{new}::0f8f",
        ),
    ]  # fmt: skip


def test_a_name_changes_with_the_types_of_its_parents() -> None:
    """A child that the update has not come to yet is below the parent's new type."""
    old, new = "tests:x:Old", "tests:x:New"
    child = resource("c", f"{old}${PARAMETER}", parent=urn("p", old))
    other = resource("o", dependencies=[child["urn"]], parent=urn("s", STACK))
    grandchild = resource("g", f"{old}${PARAMETER}${PARAMETER}", parent=child["urn"])
    stack, parent = resource("s", STACK), resource("p", old, parent=urn("s", STACK))
    renamed = resource("p", new, parent=urn("s", STACK), aliases=[parent["urn"]])
    journal = Journal(stack, parent, child, other, grandchild)
    journal.step(1, state=stack, removeOld=0).step(2, state=renamed, removeOld=1)
    below = urn("c", f"{new}${PARAMETER}")
    assert journal.state()["resources"] == [
        stack,
        resource("p", new, parent=urn("s", STACK)),
        resource("c", f"{new}${PARAMETER}", parent=urn("p", new)),
        resource("o", dependencies=[below], parent=urn("s", STACK)),
        resource("g", f"{new}${PARAMETER}${PARAMETER}", parent=below),
    ]


def test_names_are_present_ones_also_in_what_was_rebuilt() -> None:
    journal = Journal(A, resource("b", dependencies=[urn("old")]))
    journal.step(1, state=resource("a", aliases=[urn("old")]), removeOld=0).say(Kind.REBUILT)
    journal.step(2, removeOld=0)
    assert journal.state()["resources"] == [resource("b", dependencies=[urn("a")])]


# --- the state as a whole --------------------------------------------------------------------
def test_another_state_may_take_the_place_of_the_one_before() -> None:
    other = {"resources": [B, C], "pending_operations": [creating("x")], "metadata": {"y": 2}}
    journal = Journal(A, metadata={"x": 1}).say(Kind.STATE, newSnapshot=other)
    journal.step(1, removeOld=0)
    state = journal.state()
    assert (state["resources"], state["metadata"]) == ([C], {"y": 2})
    assert pending(state) == [("creating", urn("x"))]


def test_what_is_said_of_the_whole_state_enters_it() -> None:
    sealed = {"type": "service", "state": {"url": "x"}}
    journal = Journal(A, secrets_providers={"type": "other"}, extensions={"r1": {"v": 1}})
    journal.say(Kind.SECRETS, secretsProvider=sealed)
    journal.say(Kind.EXTENSION, 1, extensionRef="r2", extension={"v": 2})
    journal.say(Kind.SNIPPETS, snippets=[{"id": "s"}])
    for _ in range(2):
        state = journal.state()
        assert state["secrets_providers"] == sealed
        assert state["extensions"] == {"r1": {"v": 1}, "r2": {"v": 2}}
        assert state["snippets"] == [{"id": "s"}]
        journal.say(Kind.REBUILT)


@pytest.mark.parametrize(
    "entry",
    [
        {"kind": 99, "operationID": 1},
        {"kind": 1},
        {"operationID": 1},
        {"kind": 1, "operationID": 1, "removeOld": 1},
        {"kind": 1, "operationID": 1, "deleteOld": 1},
        {"kind": 1, "operationID": 1, "deleteNew": 1},
        {"kind": 3, "operationID": 1, "removeNew": 1},
        {"kind": 4, "operationID": 1, "removeOld": 1, "state": A},
        {"kind": 4, "operationID": 1, "removeNew": 4, "state": A},
        {"kind": 5, "operationID": 0, "newSnapshot": None},
        {"kind": 6, "operationID": 0},
        {"kind": 1, "operationID": 1, "isRefresh": True, "state": {"type": "x"}},
        {"kind": 5, "operationID": 0, "newSnapshot": {"pending_operations": ["x"]}},
    ],
    ids=str,
)
def test_entries_that_do_not_fit_are_refused(entry: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"fit|valid"):
        replay({"resources": [A]}, [{"sequenceID": 1, **entry}], engine=ENGINE)
    with pytest.raises(ValueError, match="fit"):
        replay(None, [{"kind": 0, "operationID": 1}], engine=ENGINE)
