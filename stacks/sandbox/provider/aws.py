"""The connection to the AWS API: clients, credentials, the account, and errors with their codes.

Endpoint and credentials come from the environment (`AWS_ENDPOINT_URL`, `AWS_ACCESS_KEY_ID` ...)
or the provider's arguments, as with the official plugin. botocore is used directly: boto3 adds
nothing to plain calls and costs the plugin memory.
"""

import threading
from collections.abc import Callable, Collection
from functools import cached_property
from typing import TYPE_CHECKING, Any

from stacks.descriptions import new_session
from stacks.sandbox.provider.arguments import Credentials, ProviderArguments, Role

if TYPE_CHECKING:
    from botocore.client import BaseClient
    from botocore.session import Session

_PARALLEL_CONNECTIONS = 32
_POLL_SECONDS = 0.2
_READING = ("describe_", "get_", "head_", "list_")
# how the APIs call the place where the next page begins, in an answer and in a request
_PAGE_TOKENS = {
    "NextToken": "NextToken",
    "nextToken": "nextToken",
    "NextMarker": "Marker",
    "Marker": "Marker",
}


class ApiError(Exception):
    """A call that AWS refused or that never reached it.

    operation is AWS's name of it (`CreateKey`), code AWS's error code; both are part of the text.
    """

    def __init__(self, operation: str, code: str, message: str) -> None:
        super().__init__(": ".join(part for part in (operation, code, message) if part))
        self.operation = operation
        self.code = code


class CanceledError(Exception):
    """The engine asked the provider to stop."""


class Aws:
    """One configured account and region. Safe to use from several threads.

    Roles are assumed once; their credentials last an hour, longer than an engine call may take.
    """

    def __init__(self, arguments: ProviderArguments) -> None:
        self.region = arguments.region
        self._arguments = arguments
        self._clients: dict[str, BaseClient] = {}
        self._credentials = arguments.credentials
        self._creating = threading.RLock()
        self._canceled = threading.Event()
        for role in arguments.assume_roles:
            self._assume(role)

    @cached_property
    def account_id(self) -> str:
        """The account the credentials belong to, as STS says."""
        return str(self.call("sts", "get_caller_identity")["Account"])

    @cached_property
    def partition(self) -> str:
        """The ARN partition of the region."""
        if self.region.startswith("cn-"):
            return "aws-cn"
        return "aws-us-gov" if self.region.startswith("us-gov-") else "aws"

    def arn(self, service: str, resource: str, *, region: bool = True) -> str:
        """Return the ARN of a resource of this account (and region)."""
        where = self.region if region else ""
        return f"arn:{self.partition}:{service}:{where}:{self.account_id}:{resource}"

    def call(self, service: str, operation: str, **parameters: Any) -> dict[str, Any]:
        """Call an API operation, both named as botocore does (`kms`, `create_key`).

        Parameters that are None are left out. Raises ApiError when the call is refused or does not
        arrive; after `cancel` CanceledError, unless it only reads.
        """
        from botocore import exceptions  # noqa: PLC0415 - loaded after the port is printed

        if self._canceled.is_set() and not operation.startswith(_READING):
            raise CanceledError
        client = self._client(service)
        shown = client.meta.method_to_api_mapping[operation]
        given = {name: value for name, value in parameters.items() if value is not None}
        try:
            answer: dict[str, Any] = getattr(client, operation)(**given)
        except exceptions.ClientError as error:
            details = error.response["Error"]
            code, message = details.get("Code", "Unknown"), details.get("Message", "")
            raise ApiError(shown, str(code), str(message)) from error
        except exceptions.NoCredentialsError as error:
            reason = "no AWS credentials; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
            raise ApiError(shown, "", reason) from error
        except exceptions.ParamValidationError as error:
            # Its text quotes values, also secret ones; the names are in the first words.
            reason = f"a parameter has the wrong form: {str(error).partition(', value')[0]}"
            raise ApiError(shown, "ValidationError", reason) from error
        except exceptions.BotoCoreError as error:
            raise ApiError(shown, "", f"the AWS API cannot be reached: {error}") from error
        return answer

    def find(
        self, service: str, operation: str, gone: Collection[str], **parameters: Any
    ) -> dict[str, Any] | None:
        """Call a reading operation; None when AWS answers with one of the `gone` codes."""
        try:
            return self.call(service, operation, **parameters)
        except ApiError as error:
            if error.code in gone:
                return None
            raise

    def collect(
        self, service: str, operation: str, key: str, **parameters: Any
    ) -> list[dict[str, Any]]:
        """Return the items under `key` of all pages of a listing operation."""
        items: list[dict[str, Any]] = []
        while True:
            answer = self.call(service, operation, **parameters)
            items += answer.get(key) or []
            more = {
                sent: answer[received]
                for received, sent in _PAGE_TOKENS.items()
                if answer.get(received)
            }
            if not more:
                return items
            parameters.update(more)

    def wait_until(self, ready: Callable[[], bool], seconds: float, what: str) -> None:
        """Poll until `ready`; raise ApiError after `seconds`, CanceledError after `cancel`."""
        for _ in range(max(1, int(seconds / _POLL_SECONDS))):
            if ready():
                return
            if self._canceled.wait(_POLL_SECONDS):
                raise CanceledError
        raise ApiError("waiting", "Timeout", f"{what} was not reached within {seconds:.0f} s")

    def cancel(self) -> None:
        """End waits and refuse further changes; what was started can still be read."""
        self._canceled.set()

    def _assume(self, role: Role) -> None:
        answer = self.call(
            "sts",
            "assume_role",
            RoleArn=role.role_arn,
            RoleSessionName=role.session_name,
            ExternalId=role.external_id,
            DurationSeconds=role.duration_seconds,
            Policy=role.policy,
        )["Credentials"]
        with self._creating:
            self._credentials = Credentials(
                access_key=answer["AccessKeyId"],
                secret_key=answer["SecretAccessKey"],
                token=answer["SessionToken"],
            )
            self._clients.clear()

    @cached_property
    def _session(self) -> "Session":
        session = new_session()
        if self._arguments.profile:
            session.set_config_variable("profile", self._arguments.profile)
        return session

    def _client(self, service: str) -> "BaseClient":
        from botocore.config import Config  # noqa: PLC0415 - loaded after the port is printed

        with self._creating:
            if service not in self._clients:
                self._clients[service] = self._session.create_client(
                    service,
                    region_name=self.region,
                    config=Config(
                        connect_timeout=5,
                        read_timeout=60,
                        max_pool_connections=_PARALLEL_CONNECTIONS,
                        retries={"mode": "standard", "max_attempts": self._arguments.max_attempts},
                        # bucket names of a local endpoint are no host names
                        s3={"addressing_style": "path"},
                    ),
                    aws_access_key_id=self._credentials.access_key,
                    aws_secret_access_key=self._credentials.secret_key,
                    aws_session_token=self._credentials.token,
                )
            return self._clients[service]
