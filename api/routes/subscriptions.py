"""Event subscriptions: who gets public events, and what became of each."""

from __future__ import annotations

from fastapi import APIRouter

from api.dependencies import CallerDep, PagingDep, SharedDep, WriterDep
from api.schemas import subscription_views as views
from api.schemas.views import Page
from api.strict_json import StrictRoute
from control_plane.domain.subscription import SendStatus
from control_plane.services import subscriptions
from control_plane.services.performing import perform

router = APIRouter(prefix="/v1", tags=["event subscriptions"], route_class=StrictRoute)


@router.get("/event-types")
def list_types(have: SharedDep, who: CallerDep) -> views.EventTypes:
    """List the types of public events with the schemas of their data."""
    found = perform(have.core, who, subscriptions.list_types)
    return views.EventTypes(types=[views.EventTypeView.of(kind) for kind in found])


@router.post("/event-subscriptions", status_code=201)
def create_subscription(
    have: SharedDep, who: WriterDep, body: views.NewSubscription
) -> views.SecretView:
    """Subscribe a URL to public events; the secret that signs them is in this answer alone."""
    found = perform(
        have.core, who, subscriptions.create_subscription,
        url=body.url, types=body.types, tenant_id=body.tenant_id, description=body.description,
    )  # fmt: skip
    return views.SecretView.of(found, who.actor)


@router.get("/event-subscriptions")
def list_subscriptions(
    have: SharedDep, who: CallerDep, page: PagingDep
) -> Page[views.SubscriptionView]:
    """List event subscriptions, newest first."""
    found = perform(
        have.core, who, subscriptions.list_subscriptions, limit=page.limit, before=page.before
    )
    items = [views.SubscriptionView.of(item, who.actor) for item in found]
    return Page(items=items, next_page_token=page.token(item.id for item in items))


@router.get("/event-subscriptions/{subscription_id}")
def get_subscription(
    have: SharedDep, who: CallerDep, subscription_id: str
) -> views.SubscriptionView:
    """Show an event subscription and how it fares."""
    found = perform(have.core, who, subscriptions.get_subscription, subscription_id)
    return views.SubscriptionView.of(found, who.actor)


@router.patch("/event-subscriptions/{subscription_id}")
def change_subscription(
    have: SharedDep, who: WriterDep, subscription_id: str, body: views.SubscriptionChange
) -> views.SubscriptionView:
    """Change an event subscription, pause it, or end its pause."""
    found = perform(
        have.core, who, subscriptions.change_subscription, subscription_id,
        url=body.url, types=body.types, description=body.description, is_paused=body.paused,
    )  # fmt: skip
    return views.SubscriptionView.of(found, who.actor)


@router.delete("/event-subscriptions/{subscription_id}")
def remove_subscription(
    have: SharedDep, who: WriterDep, subscription_id: str
) -> views.SubscriptionView:
    """Remove an event subscription with everything that waits for it; returns what it was."""
    found = perform(have.core, who, subscriptions.remove_subscription, subscription_id)
    return views.SubscriptionView.of(found, who.actor)


@router.post("/event-subscriptions/{subscription_id}/rotate")
def rotate_secret(have: SharedDep, who: WriterDep, subscription_id: str) -> views.SecretView:
    """Make a new secret, which is in this answer alone; the former one signs too for a day."""
    found = perform(have.core, who, subscriptions.rotate_secret, subscription_id)
    return views.SecretView.of(found, who.actor)


@router.post("/event-subscriptions/{subscription_id}/test", status_code=202)
def ping_subscription(have: SharedDep, who: WriterDep, subscription_id: str) -> views.SentView:
    """Send a test event; its delivery shows what the receiver answered."""
    found = perform(have.core, who, subscriptions.ping_subscription, subscription_id)
    return views.SentView.of(found)


@router.post("/event-subscriptions/{subscription_id}/resume")
def resume_subscription(
    have: SharedDep, who: WriterDep, subscription_id: str
) -> views.SubscriptionView:
    """Send again to a subscription that is paused or disabled, with all that waited."""
    found = perform(have.core, who, subscriptions.resume_subscription, subscription_id)
    return views.SubscriptionView.of(found, who.actor)


@router.post("/event-subscriptions/{subscription_id}/replay", status_code=202)
def replay_since(
    have: SharedDep, who: WriterDep, subscription_id: str, body: views.ReplaySince
) -> views.Replayed:
    """Send again what happened since a time; the ids of the events stay."""
    count = perform(have.core, who, subscriptions.replay_since, subscription_id, since=body.since)
    return views.Replayed(count=count)


@router.get("/event-subscriptions/{subscription_id}/deliveries")
def list_sent(
    have: SharedDep,
    who: CallerDep,
    page: PagingDep,
    subscription_id: str,
    status: SendStatus | None = None,
) -> Page[views.SentView]:
    """List what goes to a subscription, newest first, with how the newest attempt ended."""
    found = perform(
        have.core, who, subscriptions.list_sent, subscription_id,
        limit=page.limit, before=page.before, status=status,
    )  # fmt: skip
    items = [views.SentView.of(item) for item in found]
    return Page(items=items, next_page_token=page.token(item.id for item in items))


@router.post("/event-subscriptions/{subscription_id}/deliveries/{sent_id}/replay", status_code=202)
def replay_event(
    have: SharedDep, who: WriterDep, subscription_id: str, sent_id: str
) -> views.SentView:
    """Send one event again, with the id that it had."""
    found = perform(have.core, who, subscriptions.replay_event, subscription_id, sent_id)
    return views.SentView.of(found)
