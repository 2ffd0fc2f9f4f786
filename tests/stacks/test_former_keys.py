"""A stack that an earlier release wrote is read with its former key, and written with its own."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from stacks.contract import Code
from stacks.engine.backend import Backend
from stacks.engine.failures import CallFailed
from stacks.engine.sealing import Sealer
from stacks.engine.values import SECRET, SIGNATURE
from tests.stacks.state_logs import SEALER, ids, records, timeless, written

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

FORMER = "a passphrase for tests only"  # that of ``SEALER``
OWN = "made from the master secret and a salt"
BOTH, ALONE = Sealer(OWN, "of logs", FORMER), Sealer(OWN, "of logs")
VALUE = json.dumps("hunter2").encode()


def secret(sealer: Sealer) -> dict[str, Any]:
    return {SIGNATURE: SECRET, "ciphertext": sealer.encrypt(VALUE)}


def holding(backend: Backend, *sealed: Mapping[str, Any]) -> None:
    """Write a state that has secrets."""
    state = {"resources": [{"urn": f"u{n}", "id": f"{n}", "outputs": {"deep": [each]}}
                           for n, each in enumerate(sealed)]}  # fmt: skip
    backend.take("run_a.1").close("settled", state)


def opened(backend: Backend, sealer: Sealer) -> list[bytes]:
    """Return the secrets of the state, as a key opens them."""
    state: Any = backend.state()
    return [sealer.decrypt(r["outputs"]["deep"][0]["ciphertext"]) for r in state["resources"]]


def test_what_was_written_before_is_read_and_is_of_its_call(backend: Backend) -> None:
    holding(backend, secret(SEALER))
    late = replace(backend, sealer=BOTH)
    assert late.state() == backend.state()
    assert late.history() == backend.history()
    assert opened(late, BOTH) == [VALUE]
    with pytest.raises(CallFailed) as failed:
        replace(backend, sealer=ALONE).state()
    assert failed.value.code is Code.PASSPHRASE


def test_the_next_write_leaves_nothing_under_the_former_key(backend: Backend) -> None:
    holding(backend, secret(SEALER), secret(BOTH))
    late, alone = replace(backend, sealer=BOTH), replace(backend, sealer=ALONE)
    written(late, "run_b.1", 3)
    assert ids(alone.state()) == ["3", "0", "1"]
    state: Any = alone.state()
    sealed = [r["outputs"]["deep"][0]["ciphertext"] for r in state["resources"][1:]]
    assert [ALONE.decrypt(each) for each in sealed] == [VALUE, VALUE]
    for each in sealed:
        with pytest.raises(CallFailed):
            SEALER.decrypt(each)
    with pytest.raises(CallFailed) as failed:
        backend.state()
    assert failed.value.code is Code.PASSPHRASE
    assert late.history() == alone.history()
    assert late.history()[1] == "run_b.1"


def test_a_lock_that_was_taken_before_is_known_and_broken(backend: Backend) -> None:
    holding(backend, secret(SEALER))
    backend.take("run_b.1")
    late = replace(backend, sealer=BOTH)
    (lock,) = late.locks()
    assert lock.call_id == "run_b.1"
    assert late.break_lock(lock.id, by="run_c.1")
    assert opened(replace(backend, sealer=ALONE), ALONE) == [VALUE]


def test_what_no_key_opens_stays_as_it_is_and_the_state_is_written(backend: Backend) -> None:
    strange = secret(Sealer("of somebody else", "of logs"))
    holding(backend, strange)
    late = replace(backend, sealer=BOTH)
    before = timeless(late.state())
    late.take("run_b.1").close("settled")
    assert timeless(replace(backend, sealer=ALONE).state())["resources"] == before["resources"]


def test_everything_is_forgotten_and_a_copy_opens_with_its_key_alone(backend: Backend) -> None:
    own = replace(backend, sealer=ALONE)
    holding(own, secret(ALONE))
    names = own.store.names(f"stacks/{own.stack}")
    copies = {name: own.store.read(f"stacks/{own.stack}/{name}") for name in names}
    assert own.forget() == len(names)
    assert (own.state(), records(own), own.forget()) == (None, [], 0)
    for name, content in copies.items():  # as from a backup
        assert content is not None
        own.store.create(f"stacks/{own.stack}/{name}", content)
    assert opened(own, ALONE) == [VALUE]
    state: Any = own.state()
    for key in (FORMER, "whatever else follows from the master secret"):
        stranger = Sealer(key, "of logs")
        with pytest.raises(CallFailed):
            replace(backend, sealer=stranger).state()
        with pytest.raises(CallFailed):
            stranger.decrypt(state["resources"][0]["outputs"]["deep"][0]["ciphertext"])
