"""DocuSign is asked over HTTP, on a server that answers as its documentation says."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from joserfc.jwk import RSAKey

from control_plane.adapters.intake.docusign_reading import PAGE, DocusignReading
from control_plane.adapters.intake.http_reading import require_https
from control_plane.domain.errors import SettingInvalid
from control_plane.domain.intake import ReadBack
from control_plane.domain.system_errors import SystemRefused, SystemUnavailable
from tests.integration.docusign_stub import ACCOUNT, DocusignStub
from tests.signed import docusign
from tests.time_and_ids import FixedClock

BEGIN = datetime(2026, 11, 20, 12, tzinfo=UTC)
KEY = RSAKey.generate_key(2048)


def has(number: int, *, minutes: int, status: str = "completed") -> dict[str, Any]:
    """Return an envelope as the listing shows it, with its custom fields."""
    summary = dict(docusign(number)["data"]["envelopeSummary"])
    at = (BEGIN + timedelta(minutes=minutes)).isoformat()
    return {**summary, "status": status, "statusChangedDateTime": at}


@pytest.fixture
def stub() -> Iterator[DocusignStub]:
    with DocusignStub(KEY) as running:
        yield running


def reading(stub: DocusignStub, user: str = "user", accounts: Any = (ACCOUNT,)) -> DocusignReading:
    back = ReadBack(
        url=stub.url, credential="docusign-read", since=BEGIN, client="integration", user=user
    )
    pem = KEY.as_pem(private=True).decode()
    return DocusignReading("docusign", accounts, back, lambda: pem, FixedClock())


def test_an_envelope_is_read_as_connect_would_post_it(stub: DocusignStub) -> None:
    stub.envelopes = [has(1, minutes=5), has(2, minutes=3, status="voided")]
    voided, signed = reading(stub).changed_since(BEGIN)
    assert (voided.event, signed.event) == ("envelope-voided", "envelope-completed")
    assert signed.changed_at == BEGIN + timedelta(minutes=5)
    posted = docusign(1)["data"]
    read = signed.payload["data"]
    assert (read["accountId"], read["envelopeId"]) == (posted["accountId"], posted["envelopeId"])
    fields = posted["envelopeSummary"]["customFields"]
    assert read["envelopeSummary"]["customFields"] == fields
    (asked,) = stub.asked
    assert asked["include"] == "custom_fields,recipients"
    (claims,) = stub.claims
    assert (claims["iss"], claims["sub"], claims["aud"]) == ("integration", "user", "127.0.0.1")
    assert claims["exp"] - claims["iat"] == 3600


def test_pages_follow_each_other_and_none_is_lost_when_the_list_moves(stub: DocusignStub) -> None:
    stub.envelopes = [has(number, minutes=number) for number in range(1, 2 * PAGE + 51)]

    def moves(stub: DocusignStub) -> None:
        """One of the first page is voided while it is read, and moves to the end."""
        stub.after_page = None
        stub.envelopes[9] = has(10, minutes=1000, status="voided")

    stub.after_page = moves
    found = [(each.envelope_id[-12:], each.event) for each in reading(stub).changed_since(BEGIN)]
    assert len(found) == 2 * PAGE + 51
    assert {int(number) for number, _ in found} == set(range(1, 2 * PAGE + 51))
    assert found[-1] == ("000000000010", "envelope-voided")


def test_more_than_a_page_of_one_instant_is_read_on(stub: DocusignStub) -> None:
    stub.envelopes = [has(number, minutes=1) for number in range(1, 2 * PAGE + 20)]
    found = {each.envelope_id for each in reading(stub).changed_since(BEGIN)}
    assert len(found) == 2 * PAGE + 19


def test_a_token_is_kept_and_renewed_when_it_is_not_taken(stub: DocusignStub) -> None:
    stub.envelopes = [has(1, minutes=1)]
    reader = reading(stub)
    assert len(list(reader.changed_since(BEGIN))) == len(list(reader.changed_since(BEGIN))) == 1
    assert len(stub.tokens) == 1
    stub.tokens.append("of another")
    assert len(list(reader.changed_since(BEGIN))) == 1
    assert len(stub.claims) == 2
    stub.answers = [(401, {"errorCode": "USER_AUTHENTICATION_FAILED"})] * 2
    with pytest.raises(SystemRefused, match="does not take"):
        list(reader.changed_since(BEGIN))


@pytest.mark.parametrize(("answer", "error"), [
    ((429, {"errorCode": "HOURLY_APIINVOCATION_LIMIT_EXCEEDED"}), SystemUnavailable),
    ((503, b"<html>"), SystemUnavailable),
    ((200, b'{"envelopes": [{"status"'), SystemUnavailable),
    ((200, {"resultSetSize": "2", "envelopes": []}), SystemUnavailable),
    ((200, {"resultSetSize": "1", "envelopes": [{"status": "completed"}]}), SystemUnavailable),
    ((200, []), SystemUnavailable),
    ((400, {"errorCode": "INVALID_REQUEST_PARAMETER"}), SystemRefused),
    ((403, {"errorCode": "ACCOUNT_LACKS_PERMISSIONS"}), SystemRefused),
    ((302, {}), SystemRefused),
])  # fmt: skip
def test_a_fault_is_told_apart_from_a_refusal(
    stub: DocusignStub, answer: Any, error: type[Exception]
) -> None:
    stub.answers = [answer]
    with pytest.raises(error):
        list(reading(stub).changed_since(BEGIN))


def test_what_the_provider_does_not_know_is_none(stub: DocusignStub) -> None:
    stub.envelopes = [has(1, minutes=1)]
    reader = reading(stub)
    known = reader.find(docusign(1)["data"]["envelopeId"])
    assert known is not None
    assert known.event == "envelope-completed"
    assert reader.find(docusign(2)["data"]["envelopeId"]) is None
    stub.answers = [(400, {"errorCode": "ENVELOPE_DOES_NOT_EXIST"})]
    assert reader.find(docusign(1)["data"]["envelopeId"]) is None


def test_without_consent_or_account_a_person_has_to_do_something(stub: DocusignStub) -> None:
    with pytest.raises(SystemRefused, match="consent_required"):
        list(reading(stub, user="without consent").changed_since(BEGIN))
    with pytest.raises(SystemRefused, match="no access to the account"):
        list(reading(stub, accounts=("another",)).changed_since(BEGIN))


def test_nobody_there_is_unavailable(stub: DocusignStub) -> None:
    reader = reading(stub)
    stub.port = 9  # discard: nobody listens
    reader.read_back = reading(stub).read_back
    with pytest.raises(SystemUnavailable, match="cannot be reached"):
        list(reader.changed_since(BEGIN))


def test_a_token_is_sent_over_https_alone() -> None:
    assert require_https("https://account.docusign.com/") == "https://account.docusign.com"
    for url in ("http://account.docusign.com", "ftp://x", "account.docusign.com"):
        with pytest.raises(SettingInvalid, match="https"):
            require_https(url)
