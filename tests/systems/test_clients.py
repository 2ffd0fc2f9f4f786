"""What each client does beyond the contract of its port, over a stub of its API."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import parseaddr
from pathlib import Path
from typing import Any

import boto3
import pytest
from joserfc.jwk import RSAKey
from moto import mock_aws
from moto.core import DEFAULT_ACCOUNT_ID
from moto.sesv2.models import sesv2_backends

from control_plane.adapters.systems.hubspot import HubSpotAccount, HubSpotCrm
from control_plane.adapters.systems.salesforce import SalesforceCrm, SalesforceOrg
from control_plane.adapters.systems.ses import SesAccount, SesMailer
from control_plane.adapters.systems.slack import SlackChat, SlackWorkspace
from control_plane.adapters.systems.web import JsonApi, seconds_to_wait
from control_plane.domain.system_errors import SystemRefused, SystemUnavailable
from tests.systems import benches, stub_hubspot, stub_salesforce, stub_slack
from tests.systems.benches import COMPANY, SECONDS, teams, zendesk
from tests.systems.mails import a_mail, noon
from tests.systems.stub import Asked, Reply, Stub, served

OLD = datetime(2026, 11, 1, tzinfo=UTC)


# --- HTTP -----------------------------------------------------------------------------------------
@pytest.mark.parametrize(("text", "seconds"), [
    (None, None), ("7", 7), (" 30 ", 30), ("0", 0), ("-5", None), ("soon", None), ("", None),
    ("9" * 400, 24 * 3600), ("999999999", 24 * 3600), ("1.5", None),
    ("Tue, 01 Dec 2026 12:02:00 GMT", 120), ("Tue, 01 Dec 2026 11:00:00 GMT", 0),
    ("Tuesday, 01-Dec-26 12:02:00 GMT", 120), ("Tue, 99 Dec 2026 12:02:00 GMT", None),
])  # fmt: skip
def test_retry_after_is_seconds_or_a_date_and_a_day_at_most(
    text: str | None, seconds: int | None
) -> None:
    assert seconds_to_wait(text, noon()) == seconds


def api_of(stub: Stub) -> JsonApi:
    return JsonApi(system="x", url=stub.url, headers=dict, now=noon, seconds=SECONDS)


def test_a_redirect_takes_no_token_along() -> None:
    with served(lambda _: Reply(200, {})) as stub:
        stub.break_next("/a", "redirect")
        with pytest.raises(SystemRefused):
            api_of(stub).call("GET", "/a")
        chat = SlackChat(SlackWorkspace(url=stub.url), token=lambda: "t", now=noon)
        stub.break_next("auth.test", "redirect")
        with pytest.raises(SystemRefused):
            chat.check()
    assert stub.calls("GET", "/elsewhere") == stub.calls("POST", "/elsewhere") == 0


def test_an_answer_without_end_is_not_read() -> None:
    with served(lambda _: Reply(200, {"a": "x" * (9 * 1024 * 1024)})) as stub:
        with pytest.raises(SystemRefused) as refused:
            api_of(stub).call("GET", "/a")
        chat = SlackChat(SlackWorkspace(url=stub.url), token=lambda: "t", now=noon)
        with pytest.raises(SystemUnavailable):
            chat.check()
    assert refused.value.data["reason"] == "too_large"


def test_a_server_that_is_gone_has_certainly_done_nothing() -> None:
    with served(lambda _: Reply(200, {})) as stub:
        pass
    with pytest.raises(SystemUnavailable) as lost:
        api_of(stub).call("POST", "/a", body={})
    assert "may_have_acted" not in lost.value.data
    with pytest.raises(SystemUnavailable) as lost:
        SlackChat(SlackWorkspace(url=stub.url), token=lambda: "t", now=noon).invite(
            "C1", "ida@example.fi", key="k"
        )
    assert "may_have_acted" not in lost.value.data


def test_loopback_is_reached_past_any_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    api = stub_slack.Slack()
    with served(api) as stub:
        chat = SlackChat(SlackWorkspace(url=stub.url), token=lambda: stub_slack.TOKEN, now=noon)
        assert "Vendor" in chat.check()
        assert api_of(stub).call("GET", "/a").status == 200


# --- HubSpot --------------------------------------------------------------------------------------
@pytest.fixture
def hubspot() -> Iterator[tuple[stub_hubspot.HubSpot, HubSpotCrm]]:
    api = stub_hubspot.HubSpot()
    with served(api) as stub:
        account = HubSpotAccount(
            url=stub.url, contract_property="contract_number", portal="77",
            fields={"subscription": "plan", "contract": "contract_number"},
        )  # fmt: skip
        yield api, HubSpotCrm(account, token=lambda: stub_hubspot.TOKEN, now=noon)


@pytest.mark.requirement("F-091")
@pytest.mark.parametrize("is_missing", [True, False])
def test_a_property_that_is_missing_or_not_unique_is_explained(
    hubspot: tuple[stub_hubspot.HubSpot, HubSpotCrm], is_missing: bool
) -> None:
    api, crm = hubspot
    api.unique.clear()
    if is_missing:
        api.known.remove("tenant_id")
    for ask in (crm.check, lambda: crm.upsert_company(COMPANY)):
        with pytest.raises(SystemRefused) as refused:
            ask()
        assert refused.value.data["reason"] == "property_missing"
        assert "create it under Settings" in refused.value.message


def test_facts_go_into_the_properties_that_the_document_names(
    hubspot: tuple[stub_hubspot.HubSpot, HubSpotCrm],
) -> None:
    api, crm = hubspot
    ref = crm.upsert_company(replace(COMPANY, facts={"subscription": "lite", "mode": "A"}))
    (record,) = api.companies.values()
    assert (record["plan"], record["contract_number"]) == ("lite", "C-2026-0117")
    assert "mode" not in record
    assert ref.url == f"https://app.hubspot.com/contacts/77/record/0-2/{record['id']}"


def test_an_unknown_property_of_the_mapping_is_refused_with_its_code(
    hubspot: tuple[stub_hubspot.HubSpot, HubSpotCrm],
) -> None:
    api, crm = hubspot
    api.known.remove("plan")
    with pytest.raises(SystemRefused) as refused:
        crm.upsert_company(replace(COMPANY, facts={"subscription": "lite"}))
    assert "PROPERTY_DOESNT_EXIST" in refused.value.message


def test_won_deals_come_page_by_page_oldest_first(
    hubspot: tuple[stub_hubspot.HubSpot, HubSpotCrm],
) -> None:
    api, crm = hubspot
    for number in (5, 3, 1, 4, 2):
        api.deals.append({
            "id": f"d{number}", "dealname": f"Deal {number}", "dealstage": "closedwon",
            "closedate": f"2026-11-0{number}T10:00:00Z", "contract_number": f"C-{number}",
        })  # fmt: skip
    api.deals.append({**api.deals[0], "id": "lost", "dealstage": "closedlost"})
    api.deals.append({**api.deals[0], "id": "no contract", "contract_number": "",
                      "closedate": "2026-11-06T10:00:00Z"})  # fmt: skip
    found = list(crm.won_since(OLD + timedelta(days=1)))
    assert [deal.id for deal in found] == ["d2", "d3", "d4", "d5", "no contract"]
    assert found[0].contract_id == "C-2"
    assert found[-1].contract_id is None
    assert found[0].won_at == datetime(2026, 11, 2, 10, tzinfo=UTC)


def test_more_won_deals_than_one_search_lists_are_all_found(
    hubspot: tuple[stub_hubspot.HubSpot, HubSpotCrm], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("control_plane.adapters.systems.hubspot._MOST", 4)
    api, crm = hubspot
    days = (2, 3, 4, 4, 4, 5, 6, 7, 8)
    for number, day in enumerate(days):
        api.deals.append({"id": f"d{number}", "dealname": "D", "dealstage": "closedwon",
                          "closedate": f"2026-11-0{day}T10:00:00Z"})  # fmt: skip
    assert [deal.id for deal in crm.won_since(OLD)] == [f"d{n}" for n in range(len(days))]
    for deal in api.deals:
        deal["closedate"] = "2026-11-02T10:00:00Z"
    with pytest.raises(SystemRefused) as refused:
        list(crm.won_since(OLD + timedelta(days=1, hours=10)))
    assert "more than 4 won deals" in refused.value.message


# --- Salesforce -----------------------------------------------------------------------------------
@pytest.fixture
def salesforce() -> Iterator[tuple[stub_salesforce.Salesforce, Stub, SalesforceOrg]]:
    api = stub_salesforce.Salesforce()
    with served(api) as stub:
        org = SalesforceOrg(
            url=stub.url, grant="client_credentials", client_id=stub_salesforce.CLIENT,
            contract_field="Contract_Number__c", fields={"slug": "Slug__c"},
        )  # fmt: skip
        yield api, stub, org


def crm_of(org: SalesforceOrg, credential: str = stub_salesforce.TOKEN) -> SalesforceCrm:
    return SalesforceCrm(org, credential=lambda: credential, now=noon, seconds=SECONDS)


SalesforceFixture = tuple[stub_salesforce.Salesforce, Stub, SalesforceOrg]


def test_an_ended_session_gets_a_new_token_and_one_record(salesforce: SalesforceFixture) -> None:
    api, _, org = salesforce
    crm = crm_of(org)
    crm.upsert_company(COMPANY)
    assert api.tokens == 1, "a token is kept"
    crm.upsert_company(COMPANY)
    assert api.tokens == 1
    api.tokens += 1  # the one that is kept ends
    crm.upsert_company(replace(COMPANY, name="Example Oyj"))
    assert api.tokens == 3
    assert [each["Name"] for each in api.accounts] == ["Example Oyj"]
    assert api.accounts[0]["Slug__c"] == "example"


def test_an_update_without_a_body_still_names_the_record(salesforce: SalesforceFixture) -> None:
    api, _, org = salesforce
    made = crm_of(org).upsert_company(COMPANY)
    api.answers_updates_with = 204
    again = crm_of(org).upsert_company(COMPANY)
    assert (again.id, again.created) == (made.id, False)


@pytest.mark.requirement("J-016", "K-070")
def test_several_accounts_of_one_tenant_are_for_a_person(salesforce: SalesforceFixture) -> None:
    api, _, org = salesforce
    for number in range(2):
        api.accounts.append({"Id": f"001{number}", "Tenant_Id__c": COMPANY.key, "Name": "x"})
    with pytest.raises(SystemRefused) as refused:
        crm_of(org).upsert_company(COMPANY)
    assert refused.value.data["reason"] == "several"


def test_a_missing_external_id_is_explained(salesforce: SalesforceFixture) -> None:
    api, _, org = salesforce
    api.external = {"Other__c"}
    for ask in (crm_of(org).check, lambda: crm_of(org).upsert_company(COMPANY)):
        with pytest.raises(SystemRefused) as refused:
            ask()
        assert refused.value.data["reason"] == "property_missing"


def test_a_client_that_signs(salesforce: SalesforceFixture) -> None:
    api, _, org = salesforce
    api.key = RSAKey.generate_key(2048)
    private = api.key.as_pem(private=True).decode()
    org = replace(org, grant="jwt", username="integration@vendor.example")
    assert crm_of(org, private).upsert_company(COMPANY).created
    with pytest.raises(SystemRefused) as refused:
        crm_of(org, "not a key").upsert_company(COMPANY)
    assert refused.value.data["reason"] == "credential"
    assert "not a key" not in refused.value.message


def test_a_limit_of_calls_is_waited_for() -> None:
    def limited(asked: Asked) -> Reply:
        if "token" in asked.path:
            return Reply(200, {"access_token": "a"})
        return Reply(403, [{"errorCode": "REQUEST_LIMIT_EXCEEDED", "message": "x"}])

    with served(limited) as stub:
        crm = crm_of(SalesforceOrg(url=stub.url, grant="client_credentials", client_id="c"))
        with pytest.raises(SystemUnavailable):
            crm.upsert_company(COMPANY)


def test_won_opportunities_come_page_by_page(salesforce: SalesforceFixture) -> None:
    api, _, org = salesforce
    for number in range(1, 6):
        api.opportunities.append({
            "Id": f"006{number}", "Account": {"Name": "Example"},
            "LastStageChangeDate": f"2026-11-0{number}T10:00:00.000+0000",
            "Contract_Number__c": f"C-{number}",
        })  # fmt: skip
    found = list(crm_of(org).won_since(OLD + timedelta(days=1)))
    assert [deal.contract_id for deal in found] == ["C-2", "C-3", "C-4", "C-5"]
    assert found[0].won_at == datetime(2026, 11, 2, 10, tzinfo=UTC)


# --- lists ----------------------------------------------------------------------------------------
def read_list(port: Any) -> None:
    """Read a list of a system to its end."""
    if hasattr(port, "won_since"):
        list(port.won_since(OLD))
    else:
        port.find_channel("another")


@pytest.mark.parametrize("system", ["hubspot", "salesforce", "slack", "teams"])
def test_a_list_that_repeats_a_page_is_not_read_for_ever(system: str, tmp_path: Path) -> None:
    with getattr(benches, system)(tmp_path) as bench:
        api = bench.stub.api
        if system == "hubspot":
            api.deals = [{"id": "1", "dealname": "D", "dealstage": "closedwon",
                          "closedate": "2026-11-02T10:00:00Z"}]  # fmt: skip
        elif system == "salesforce":
            at = "2026-11-02T10:00:00.000+0000"
            api.opportunities = [{"Id": "1", "Account": {"Name": "E"}, "LastStageChangeDate": at}]
        else:
            bench.port.open_channel("a-1", topic="t", key="k")
        api.page = 0  # the next page begins where this one did
        with pytest.raises(SystemRefused) as refused:
            read_list(bench.port)
    assert "repeats a page" in refused.value.message


# --- Zendesk --------------------------------------------------------------------------------------
def test_a_second_tenant_of_a_company_gets_its_slug_into_the_name(tmp_path: Path) -> None:
    with zendesk(tmp_path) as bench:
        bench.port.upsert_organisation(COMPANY)
        other = replace(COMPANY, key="ten_02", slug="example-2")
        assert bench.port.upsert_organisation(other).created
        assert not bench.port.upsert_organisation(other).created
        assert bench.names() == ["Example Oy", "Example Oy (example-2)"]


def test_an_organisation_that_people_made_is_for_a_person(tmp_path: Path) -> None:
    with zendesk(tmp_path) as bench:
        assert bench.stub is not None
        api: Any = bench.stub.api
        api.organizations.append({"id": 1, "name": "EXAMPLE OY", "external_id": None})
        with pytest.raises(SystemRefused) as refused:
            bench.port.upsert_organisation(COMPANY)
        assert refused.value.data["reason"] == "name_taken"
        assert f"set its external id to {COMPANY.key}" in refused.value.message
        api.organizations[0]["external_id"] = COMPANY.key  # as the sentence says
        assert not bench.port.upsert_organisation(COMPANY).created
        assert bench.names() == ["Example Oy"]


# --- Slack ----------------------------------------------------------------------------------------
@pytest.fixture
def slack() -> Iterator[tuple[stub_slack.Slack, Stub, SlackChat]]:
    api = stub_slack.Slack()
    with served(api) as stub:
        workspace = SlackWorkspace(url=f"{stub.url}/api")
        yield api, stub, SlackChat(workspace, token=lambda: stub_slack.TOKEN, now=noon,
                                   seconds=SECONDS)  # fmt: skip


def another(stub: Stub) -> SlackChat:
    """Return the client of another process."""
    workspace = SlackWorkspace(url=f"{stub.url}/api")
    return SlackChat(workspace, token=lambda: stub_slack.TOKEN, now=noon, seconds=SECONDS)


SlackFixture = tuple[stub_slack.Slack, Stub, SlackChat]


def test_a_process_that_died_before_the_key_was_written_is_continued(slack: SlackFixture) -> None:
    api, stub, chat = slack
    stub.break_next("setPurpose", "503")
    with pytest.raises(SystemUnavailable):
        chat.open_channel("acme", topic="t", key="k")
    assert not chat.open_channel("acme", topic="t", key="k").created
    (channel,) = api.channels.values()
    assert channel["purpose"]["value"] == "t [k]"


def test_a_channel_of_somebody_else_is_never_taken_over(slack: SlackFixture) -> None:
    api, _, chat = slack
    api.add("acme")
    with pytest.raises(SystemRefused) as refused:
        chat.open_channel("acme", topic="t", key="k")
    assert refused.value.data["reason"] == "name_taken"
    assert api.channels["C00000000"]["purpose"]["value"] == ""


def test_a_channel_that_people_renamed_is_found_on_any_page(slack: SlackFixture) -> None:
    api, _, chat = slack
    for number in range(5):
        chat.open_channel(f"acme-{number}", topic="t" * 300, key=f"k{number}")
    api.channels["C00000004"]["name"] = "renamed"
    found = chat.find_channel("k4")
    assert found is not None
    assert found.id == "C00000004"
    assert chat.open_channel("acme-4", topic="t", key="k4").id == "C00000004"


def test_another_process_asks_what_is_pending_before_it_invites(slack: SlackFixture) -> None:
    _, stub, chat = slack
    channel = chat.open_channel("acme", topic="t", key="k")
    sent = chat.invite(channel.id, "ida@example.fi", key="k.ida")
    other = SlackChat(
        SlackWorkspace(url=f"{stub.url}/api"), token=lambda: stub_slack.TOKEN, now=noon
    )
    assert other.invite(channel.id, "ida@example.fi", key="k.ida").id == sent.id
    assert other.invite(channel.id, "bo@example.fi", key="k.bo").status == "sent"
    assert stub.calls("POST", "conversations.inviteShared") == 2
    assert stub.calls("POST", "conversations.listConnectInvites") == 1, "allowed once a minute"


def test_without_the_scope_to_look_who_is_there_is_not_invited_again(slack: SlackFixture) -> None:
    api, stub, chat = slack
    channel = chat.open_channel("acme", topic="t", key="k")
    api.scopes.clear()
    api.members.add((channel.id, "ida@example.fi"))
    other = SlackChat(
        SlackWorkspace(url=f"{stub.url}/api"), token=lambda: stub_slack.TOKEN, now=noon
    )
    found = other.invite(channel.id, "ida@example.fi", key="k.ida")
    assert found.status == "already_in_channel"


# --- Teams ----------------------------------------------------------------------------------------
def test_a_channel_that_is_made_later_is_found(tmp_path: Path) -> None:
    with teams(tmp_path) as bench:
        assert bench.stub is not None
        api: Any = bench.stub.api
        api.accepts_with = 202
        for number in range(5):
            made = bench.port.open_channel(f"acme-{number}", topic="t", key=f"k{number}")
            assert made.created
        assert bench.port.open_channel("acme-4", topic="t", key="k4").id == made.id
        assert len(api.channels) == 5


@pytest.mark.requirement("J-037")
def test_a_forbidden_member_is_refused_by_policy_and_named_nowhere(tmp_path: Path) -> None:
    with teams(tmp_path) as bench:
        channel = bench.port.open_channel("acme", topic="t", key="k")
        bench.forbid()
        with pytest.raises(SystemRefused) as refused:
            bench.port.invite(channel.id, "ida@example.fi", key="k.ida")
        assert (refused.value.data["kind"], refused.value.data["reason"]) == ("policy", "Forbidden")
        assert "ida" not in refused.value.message


# --- SES ------------------------------------------------------------------------------------------
@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    with mock_aws():
        yield


def test_ses_gets_the_bytes_that_were_made_here(aws: None) -> None:
    client: Any = boto3.client("sesv2", region_name="eu-west-1")
    client.create_email_identity(EmailIdentity="team@vendor.example")
    mailer = SesMailer(SesAccount(region="eu-west-1"), now=noon)
    identifier = mailer.send(a_mail())
    backend = sesv2_backends[DEFAULT_ACCOUNT_ID]["eu-west-1"]
    (sent,) = backend.core_backend.sent_messages
    assert sent.id == identifier
    # the emulation adds those of the header to those that were asked for
    assert {parseaddr(each)[1] for each in sent.destinations} == {"ida@example.fi"}
    assert "text/calendar" in str(sent.raw_data)


def test_a_sender_that_ses_does_not_know_is_refused(aws: None) -> None:
    with pytest.raises(SystemRefused) as refused:
        SesMailer(SesAccount(region="eu-west-1"), now=noon).send(a_mail())
    assert "MessageRejected" in refused.value.message
    assert "@" not in refused.value.message


@pytest.mark.parametrize(("fault", "acted"), [("no answer", True), ("500", True), ("429", False)])
def test_the_library_repeats_no_mail(
    monkeypatch: pytest.MonkeyPatch, fault: str, acted: bool
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    with served(lambda _: Reply(200, {"MessageId": "1"})) as stub:
        stub.break_next("outbound-emails", fault)
        account = SesAccount(region="eu-west-1", url=stub.url, seconds=SECONDS)
        with pytest.raises(SystemUnavailable) as failed:
            SesMailer(account, now=noon).send(a_mail())
        assert bool(failed.value.data.get("may_have_acted")) is acted
        assert stub.calls("POST", "outbound-emails") == 1


def test_ses_without_credentials_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(SystemRefused) as refused:
        SesMailer(SesAccount(region="eu-west-1"), now=noon).check()
    assert refused.value.data["reason"] == "credential"
