"""What PostgreSQL refuses, as errors of the domain.

The triggers of the migrations raise SQLSTATEs of a class of their own, ``TP``; a constraint is
reported by its name and never by the values of the row.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import psycopg
from sqlalchemy.exc import DBAPIError, StatementError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from control_plane.domain.approver_errors import SignatureNeeded, SignatureRefused
from control_plane.domain.disclosure_errors import GrantNotValid
from control_plane.domain.errors import (
    AlreadyDecided,
    ApprovalExpired,
    Conflict,
    DomainError,
    InvalidInput,
    MachineMayNotDecide,
    NotAcknowledged,
    PlanOutOfDate,
    SeparationOfDuties,
    Unavailable,
)

TRIGGER_ERRORS: Final[dict[str, type[DomainError]]] = {
    "TP001": MachineMayNotDecide,
    "TP002": SeparationOfDuties,
    "TP003": AlreadyDecided,
    "TP004": PlanOutOfDate,
    "TP005": ApprovalExpired,
    "TP008": NotAcknowledged,
    "TP009": GrantNotValid,
    "TP010": SignatureNeeded,
    "TP011": SignatureRefused,
}
TRIGGER_CONFLICT: Final = "TP006"
_UNIQUE: Final = "23505"
_SENTENCES: Final = {
    _UNIQUE: "it already exists",
    "23503": "it refers to something that does not exist",
    "23514": "it violates a data rule",
    "23502": "a required value is missing",
    TRIGGER_CONFLICT: "it is immutable",
}
_MET: Final = frozenset({"40001", "40P01"})  # serialization_failure, deadlock_detected
_WAITED: Final = frozenset({"55P03", "57014"})  # lock_not_available, query_canceled (timeout)
STANDBY: Final = "25006"  # read_only_sql_transaction: a fail-over made the server a standby
# shutdown, starting up, too many connections, a transaction left idle
_AWAY: Final = frozenset({"57P01", "57P02", "57P03", "53300", "25P03", STANDBY})


@contextmanager
def translated() -> Iterator[None]:
    """Raise what the domain calls it instead of what the driver does."""
    try:
        yield
    except PoolTimeout:
        raise Unavailable("no database connection is free") from None
    except DBAPIError as error:
        raise _translate(error) from error
    except StatementError as error:
        # a value that its column's type refused before anything was sent
        raise (error.orig or error) from None
    except UnicodeEncodeError:
        raise InvalidInput("a text contains characters that cannot be stored") from None


def _translate(error: DBAPIError) -> Exception:
    cause = error.orig
    if not isinstance(cause, psycopg.Error):
        return error
    state = cause.sqlstate or ""
    if state in TRIGGER_ERRORS:
        return TRIGGER_ERRORS[state]()
    if state in _SENTENCES:
        return Conflict(_SENTENCES[state], constraint=_constraint(cause))
    if state in _MET:
        return Conflict("a concurrent change interfered; try again", constraint="serialization")
    if state in _WAITED:
        return Unavailable("timed out waiting for the database")
    if state.startswith("22") or (not state and isinstance(cause, psycopg.DataError)):
        return InvalidInput("a value cannot be stored: a NUL character or a number out of range")
    if state.startswith("08") or state in _AWAY or isinstance(cause, psycopg.OperationalError):
        return Unavailable("the database is unavailable")
    return error


def _constraint(cause: psycopg.Error) -> str:
    if cause.diag.constraint_name:
        return cause.diag.constraint_name
    return f"nn_{cause.diag.table_name}_{cause.diag.column_name}"  # not null has no name
