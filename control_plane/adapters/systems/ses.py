"""Mail through Amazon SES (API v2), as the bytes that were made here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from urllib.parse import urlsplit

from control_plane.adapters.systems.mime import WRITTEN, bare_address, message_of
from control_plane.domain.networks import is_loopback
from control_plane.domain.system_errors import SystemRefused, SystemUnavailable
from control_plane.ports.systems import Mail

SYSTEM: Final = "ses"
_LATER: Final = frozenset(
    {"TooManyRequestsException", "LimitExceededException", "Throttling", "ThrottlingException",
     "ServiceUnavailable", "InternalFailure", "InternalServiceErrorException"}
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class SesAccount:
    """An account where boto3 finds its credentials. ``url`` is an endpoint other than AWS's."""

    region: str
    configuration_set: str | None = None
    url: str | None = None
    seconds: float = 20.0


class SesMailer:
    """The port ``Mailer``. SES takes the same mail twice, so the library repeats nothing either."""

    system = SYSTEM
    is_exactly_once = False

    def __init__(self, account: SesAccount, *, now: Callable[[], datetime]) -> None:
        self._account = account
        self._now = now

    def send(self, mail: Mail) -> str:
        """Hand a mail over; returns SES's id of it."""
        message = message_of(mail, system=SYSTEM, date=self._now())
        more = self._account.configuration_set
        wanted: dict[str, Any] = {
            "FromEmailAddress": bare_address(mail.sender),
            "Destination": {"ToAddresses": [bare_address(mail.recipient)]},
            "Content": {"Raw": {"Data": message.as_bytes(policy=WRITTEN)}},
            **({"ConfigurationSetName": more} if more else {}),
        }
        return str(self._call("send_email", acts=True, **wanted)["MessageId"])

    def check(self) -> str:
        """Ask whether the account may send; returns what was found, in words."""
        found = self._call("get_account", acts=False)
        if not found.get("SendingEnabled", False):
            raise SystemRefused("ses has sending switched off", system=SYSTEM, reason="policy")
        limited = "" if found.get("ProductionAccessEnabled") else ", to verified addresses alone"
        return f"the account may send in {self._account.region}{limited}"

    def _call(self, operation: str, *, acts: bool, **arguments: Any) -> Any:
        from botocore.exceptions import (  # noqa: PLC0415 - 30 MB, for who has it
            BotoCoreError,
            ClientError,
            ConnectTimeoutError,
            EndpointConnectionError,
            NoCredentialsError,
        )

        try:
            return getattr(self._client(), operation)(**arguments)
        except ClientError as error:  # its message may name people, so only the code is kept
            raise _of_code(error.response) from None
        except NoCredentialsError as error:
            raise SystemRefused(
                "ses needs AWS credentials where the worker runs", system=SYSTEM,
                reason="credential",
            ) from error  # fmt: skip
        except (EndpointConnectionError, ConnectTimeoutError) as error:
            raise SystemUnavailable("ses cannot be reached", system=SYSTEM) from error
        except BotoCoreError as error:
            maybe = {"may_have_acted": True} if acts else {}
            raise SystemUnavailable(
                f"ses did not answer ({type(error).__name__})", system=SYSTEM, **maybe
            ) from error

    def _client(self) -> Any:
        import boto3  # noqa: PLC0415 - as above
        from botocore.config import Config  # noqa: PLC0415

        account = self._account
        direct = account.url is not None and is_loopback(urlsplit(account.url).hostname or "")
        config = Config(
            connect_timeout=account.seconds,
            read_timeout=account.seconds,
            retries={"mode": "standard", "total_max_attempts": 1},
            proxies={} if direct else None,  # None: as the environment says
        )
        session = boto3.session.Session(region_name=account.region)
        return session.client("sesv2", endpoint_url=account.url, config=config)


def _of_code(response: Any) -> SystemRefused | SystemUnavailable:
    code = str(response.get("Error", {}).get("Code", ""))
    status = int(response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    if code in _LATER or status == 429:
        return SystemUnavailable(f"ses asks to wait ({code})", system=SYSTEM)
    if status >= 500:
        return SystemUnavailable(f"ses failed ({status})", system=SYSTEM, may_have_acted=True)
    reason = "sender" if code == "MailFromDomainNotVerifiedException" else "message"
    return SystemRefused(f"ses refuses the mail: {code}", system=SYSTEM, reason=reason)
