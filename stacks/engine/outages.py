"""Whether a state backend is out of order for a while, or cannot be used as it is set up.

The same call may succeed later only in the first case. What is not known to pass is permanent.
"""

from __future__ import annotations

import errno
import re

_PASSING_ERRNOS = frozenset(
    {
        *(errno.EIO, errno.ESTALE, errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EBUSY),
        *(errno.EAGAIN, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ETIMEDOUT),
        *(errno.EHOSTDOWN, errno.EHOSTUNREACH, errno.ENETDOWN, errno.ENETUNREACH),
        *(errno.ECONNREFUSED, errno.ECONNRESET, errno.ECONNABORTED, errno.ENOTCONN),
        errno.EREMOTEIO,
    }
)
_PASSING_CODES = frozenset(
    {
        *("SlowDown", "Throttling", "ThrottlingException", "RequestLimitExceeded"),
        *("ServiceUnavailable", "InternalError", "InternalFailure", "RequestTimeout"),
        *("OperationAborted", "ConditionalRequestConflict"),
    }
)
_SERVER_ERRORS = 500
# PostgreSQL says so before a session begins, when libpq has no code to hand on: the words of its
# default language. In another one a refusal is taken for an outage, which ends after some attempts.
_REFUSED = re.compile(
    r"password authentication failed|authentication failed for user|no password supplied"
    r"|no pg_hba\.conf entry|(?:database|role) \"[^\"]*\" does not exist"
    r"|server does not support SSL|certificate verify failed|is not permitted to log in"
)
_REFUSED_STATES = ("28", "3D")  # classes of SQLSTATE: who and which database
_READ_ONLY = "25006"  # a standby that is about to take over


def is_outage(error: Exception) -> bool:
    """Tell whether what a store raised may pass: of a folder, of boto3 or of psycopg."""
    if isinstance(error, OSError):
        return error.errno in _PASSING_ERRNOS
    if type(error).__module__.startswith("psycopg"):
        return _is_outage_of_a_table(error)
    return _is_outage_of_a_bucket(error)


def _is_outage_of_a_table(error: Exception) -> bool:
    import psycopg  # noqa: PLC0415 - loaded by now

    state = getattr(error, "sqlstate", None) or ""
    if state == _READ_ONLY:
        return True
    if not isinstance(error, psycopg.OperationalError) or state.startswith(_REFUSED_STATES):
        return False
    return _REFUSED.search(str(error)) is None


def _is_outage_of_a_bucket(error: Exception) -> bool:
    from botocore import exceptions  # noqa: PLC0415 - loaded by now

    if isinstance(error, exceptions.ClientError):
        status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
        code = error.response.get("Error", {}).get("Code")
        return status >= _SERVER_ERRORS or code in _PASSING_CODES
    passing = (
        exceptions.HTTPClientError, exceptions.ConnectionError, exceptions.IncompleteReadError,
        exceptions.CredentialRetrievalError, exceptions.MetadataRetrievalError,
    )  # fmt: skip
    return isinstance(error, passing) and not isinstance(error, exceptions.SSLError)
