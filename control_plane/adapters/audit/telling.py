"""The statement with which a commit writes its audit events and publishes some of them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from sqlalchemy import ARRAY, Uuid, bindparam, text

from control_plane.adapters.audit.given import Bytes
from control_plane.domain.deployment import PLATFORM
from control_plane.domain.public_events import PublicEvent
from control_plane.domain.subscription import SendStatus

# The row of a tenant's number is locked from here to the commit that follows at once: numbers and
# ids of a tenant's events are in the order in which their transactions are committed. Trees are
# locked in the order of their names, by everybody. Of what belongs to no tenant only that gets a
# number which somebody subscribed to, since all of it would wait for one row.
TELL: Final = text(f"""
    WITH recorded AS (
        INSERT INTO audit_pending (event_id, tenant_id, body)
            SELECT * FROM unnest(
                CAST(:events AS uuid[]), CAST(:of AS text[]), CAST(:bodies AS bytea[])
            )
    ), given AS (
        SELECT * FROM unnest(
            CAST(:ids AS text[]), CAST(:names AS text[]), CAST(:versions AS integer[]),
            CAST(:trees AS text[]), CAST(:times AS timestamptz[]), CAST(:data AS jsonb[]),
            CAST(:public AS boolean[])
        ) WITH ORDINALITY
            AS g (event_id, name, version, tree, occurred_at, data, is_public, place)
    ), matched AS (
        SELECT s.id AS subscription_id, g.place
        FROM given g JOIN event_subscription s
            ON g.is_public
            AND (s.tenant_id IS NULL OR s.tenant_id = g.tree)
            AND s.types ?| ARRAY['*', g.name, split_part(g.name, '.', 1) || '.*']
    ), counted AS (
        SELECT g.*, row_number() OVER (PARTITION BY g.tree ORDER BY g.place) AS rank
        FROM given g
        WHERE g.tree <> '{PLATFORM}' OR g.place IN (SELECT place FROM matched)
    ), numbered AS (
        INSERT INTO event_sequence AS q (tree, last)
            SELECT tree, max(rank) FROM counted GROUP BY tree ORDER BY tree
        ON CONFLICT (tree) DO UPDATE SET last = q.last + excluded.last
        RETURNING tree, last
    ), placed AS (
        SELECT c.*, n.last - max(c.rank) OVER (PARTITION BY c.tree) + c.rank AS sequence
        FROM counted c JOIN numbered n USING (tree)
    ), watched AS (
        INSERT INTO tenant_event (tenant_id, seq, event_id, name, occurred_at, data)
            SELECT tree, sequence, event_id, name, occurred_at, data FROM placed
            WHERE tree <> '{PLATFORM}' ORDER BY place
    )
    INSERT INTO outgoing_event (subscription_id, event_id, name, schema_version, tree, sequence,
        occurred_at, data, status, attempts, next_at)
    SELECT m.subscription_id, p.event_id, p.name, p.version, p.tree, p.sequence, p.occurred_at,
        p.data, '{SendStatus.PENDING}', 0, p.occurred_at
    FROM matched m JOIN placed p USING (place) ORDER BY p.place, m.subscription_id
""").bindparams(  # noqa: S608 - our own words
    bindparam("events", type_=ARRAY(Uuid)), bindparam("bodies", type_=ARRAY(Bytes))
)


def values_of(
    recorded: Sequence[Sequence[Any]], events: Sequence[PublicEvent]
) -> Mapping[str, Any]:
    """Return the values of ``TELL``: rows of the log, and what is published of them."""
    keys, trees, bodies = map(list, zip(*recorded, strict=True))
    return {
        "events": keys, "of": trees, "bodies": bodies,
        "ids": [event.id for event in events],
        "names": [event.name for event in events],
        "versions": [event.version for event in events],
        "trees": [event.tenant_id or PLATFORM for event in events],
        "times": [event.time for event in events],
        "data": [json.dumps(dict(event.data)) for event in events],
        "public": [event.is_public for event in events],
    }  # fmt: skip
