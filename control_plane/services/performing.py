"""Performing use cases: one transaction each, committed here and nowhere below."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Concatenate, Final, ParamSpec, TypeVar

from control_plane.domain.errors import AuditUnavailable, Conflict, DomainError
from control_plane.workflows.core import Act, Caller, Core

P = ParamSpec("P")
T = TypeVar("T")
_ATTEMPTS: Final = 5
# what others did to the same rows meanwhile, which another attempt sees
_PASSING: Final = frozenset({"pk_run_event", "version", "serialization"})


def perform(
    core: Core,
    caller: Caller,
    use_case: Callable[Concatenate[Act, P], T],
    *args: P.args,
    **kwargs: P.kwargs,
) -> T:
    """Do a use case in one transaction and return what it returns once that is durable.

    A refusal rolls back and then leaves its trace. Raises what the use case raises, ``Conflict``
    when others keep changing the same rows, and what ``admitted`` raises.
    """
    return perform_with(core, caller, lambda act: use_case(act, *args, **kwargs))


def admitted(core: Core, caller: Caller) -> Caller:
    """Return a caller who writes with the trees that are held; any other as it is.

    Raises ``AuditUnavailable`` when the log is behind: nothing changes meanwhile.
    """
    if not caller.writes:
        return caller
    pressure = core.trail.pressure()
    if pressure.behind:
        raise AuditUnavailable(f"nothing was done: {pressure.behind}")
    return replace(caller, writes=False, held=pressure.held)


@contextmanager
def _putting_back(act: Act) -> Iterator[None]:
    try:
        yield
    finally:
        for put_back in act.if_undone:
            put_back()


def perform_with(
    core: Core,
    caller: Caller,
    use_case: Callable[[Act], T],
    *,
    add: Callable[[Act, T], None] = lambda *_: None,
) -> T:
    """Do a use case as ``perform`` does; what ``add`` writes becomes durable together with it."""
    caller = admitted(core, caller)
    try:
        for _ in range(_ATTEMPTS):
            with core.act(caller) as act, _putting_back(act):
                try:
                    result = use_case(act)
                    add(act, result)
                except Conflict as error:
                    if error.data.get("constraint") in _PASSING:
                        continue
                    raise
                try:
                    act.uow.commit()
                except Conflict:  # found at the commit, so nothing was done
                    continue
                act.if_undone.clear()
                return result
        raise Conflict("others kept changing the same rows")
    except DomainError as error:
        if error.trace is not None and not error.is_recorded:
            error.trace()
        raise
