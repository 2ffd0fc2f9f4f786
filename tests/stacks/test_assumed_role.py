"""A role that cannot be assumed is an answer, not a fault of the runner."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from typing_extensions import override

from stacks.contract import Code, Request
from stacks.engine.failures import CallFailed
from stacks.engine.looking_up import Cloud
from tests.stacks.runner_calls import Desk
from tests.stacks.sample_specs import ACCOUNT, REGION

ROLE = f"arn:aws:iam::{ACCOUNT}:role/tenantplane"
DENIED = b"""<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error>
<Type>Sender</Type><Code>AccessDenied</Code><Message>no</Message></Error></ErrorResponse>"""


class Refusal(BaseHTTPRequestHandler):
    """Answers every request as STS answers who may not assume a role."""

    def do_POST(self) -> None:
        self.send_response(403)
        self.send_header("Content-Length", str(len(DENIED)))
        self.end_headers()
        self.wfile.write(DENIED)

    @override
    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def refusing() -> Iterator[str]:
    """The endpoint of an STS that refuses everybody."""
    with HTTPServer(("127.0.0.1", 0), Refusal) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_a_role_that_cannot_be_assumed_is_told_by_name(
    refusing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    desk = Desk(root=tmp_path, cli=tmp_path / "pulumi", endpoint=refusing)
    cloud = {"provider": "sandbox", "region": REGION, "account_id": ACCOUNT,
             "endpoint": refusing, "role_arn": ROLE}  # fmt: skip
    request = Request.model_validate(desk.request("resolve", cloud=cloud))
    with pytest.raises(CallFailed) as refused:
        Cloud(request)
    assert refused.value.code is Code.PROVIDER
    assert refused.value.data == {"aws_code": "AccessDenied"}
    assert ROLE in refused.value.text
