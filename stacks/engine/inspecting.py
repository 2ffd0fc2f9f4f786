"""The operation ``inspect``: what earlier calls left on a stack."""

from __future__ import annotations

from stacks.contract import Result
from stacks.engine.call import Call
from stacks.engine.locks import known_locks
from stacks.engine.state import pending_of


def inspect(call: Call) -> Result:
    """Return locks, pending operations and digests; change nothing and start nothing."""
    request = call.request
    # Before the state: a holder that ends in between has written its state by then.
    locks = known_locks(call.backend, engine=request.cli)
    state = call.state()
    history_digest, written_by = call.backend.history()
    return Result(
        outcome="inspected",
        state_digest=None if state is None else call.digest_of(state),
        history_digest=history_digest,
        written_by=written_by,
        locks=locks,
        pending=tuple(pending_of(state)),
        seconds=call.seconds,
    )
