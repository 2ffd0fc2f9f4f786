"""Mode C bundles: accept, edit, build, hand over, download, receipt."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import JSONResponse

from api.answers import etag, keyed
from api.dependencies import (
    CallerDep,
    Credentials,
    IfMatchDep,
    KeyedDep,
    PagingDep,
    Shared,
    SharedDep,
    WriterDep,
    address_of,
    caller_in_thread,
)
from api.schemas import requests as bodies
from api.schemas.bundle_views import BundleView, HandOverView, LinkView, ReceiptView
from api.schemas.views import Page
from api.strict_json import StrictRoute
from control_plane.domain.actor import Actor, ActorKind
from control_plane.domain.bundle import Bundle, BundleStatus
from control_plane.services import bundles, handovers, receipts
from control_plane.services.handovers import Download
from control_plane.services.performing import perform
from control_plane.workflows.core import Act, Caller

router = APIRouter(prefix="/v1/bundles", tags=["bundles"], route_class=StrictRoute)


@router.get("")
def list_bundles(
    have: SharedDep, who: CallerDep, page: PagingDep, status: BundleStatus | None = None
) -> Page[BundleView]:
    """List the bundles of the caller's tenants, newest first."""

    def do(act: Act) -> list[BundleView]:
        found = bundles.list_bundles(act, limit=page.limit, before=page.before, status=status)
        return BundleView.of(act, *found)

    items = perform(have.core, who, do)
    return Page(items=items, next_page_token=page.token(item.id for item in items))


@router.get("/{bundle_id}")
def get_bundle(have: SharedDep, who: CallerDep, bundle_id: str, response: Response) -> BundleView:
    """Show a bundle; its ETag is needed to edit it."""
    return _shown(have, who, response, lambda act: bundles.get_bundle(act, bundle_id))


@router.patch("/{bundle_id}")
def edit_bundle(
    have: SharedDep,
    who: WriterDep,
    bundle_id: str,
    body: bodies.BundleEdit,
    version: IfMatchDep,
    response: Response,
) -> BundleView:
    """Change variables; for a bundle that is built or later this creates the next version.

    The download links of a version that was handed over, and not yet applied, end with it.

    Nested objects are merged field by field and null removes a field (RFC 7396); an object whose
    `mode` changes is taken as given. `account_id` may stay empty until the build.
    """
    return _shown(
        have, who, response,
        lambda act: bundles.edit_bundle(act, bundle_id, inputs=body.inputs, if_version=version),
    )  # fmt: skip


@router.post("/{bundle_id}/accept")
def accept_bundle(
    have: SharedDep, who: WriterDep, bundle_id: str, response: Response
) -> BundleView:
    """Accept a queued bundle (solutions architect)."""
    return _shown(have, who, response, lambda act: bundles.accept_bundle(act, bundle_id))


@router.post("/{bundle_id}/build", status_code=202)
def build_bundle(have: SharedDep, who: WriterDep, bundle_id: str, response: Response) -> BundleView:
    """Build, sign and rehearse; poll the bundle until it is built."""
    response.headers["Location"] = f"/v1/bundles/{bundle_id}"
    return _shown(have, who, response, lambda act: bundles.build_bundle(act, bundle_id))


@router.post("/{bundle_id}/hand-over", status_code=201, response_model=HandOverView)
def hand_over(
    have: SharedDep, who: KeyedDep, bundle_id: str, body: bodies.HandOver
) -> JSONResponse:
    """Hand over to a named person; the download link is shown only once.

    Nothing is mailed: send the link to the recipient yourself. With `revoke_earlier_links` the
    links of earlier recipients end. The lifetime of the bundle restarts here.
    """

    def do(act: Act) -> HandOverView:
        given = handovers.hand_over(
            act, bundle_id,
            recipient_name=body.recipient_name, recipient_email=body.recipient_email,
            revoke_earlier=body.revoke_earlier_links,
        )  # fmt: skip
        return HandOverView.of(act, given, have.base_url)

    route = f"bundles/{bundle_id}/hand-over"
    return keyed(
        have, who, route, bodies.plain(body), do, f"/v1/bundles/{bundle_id}",
        status=201, hide=frozenset({"download_url"}),
        may=lambda act: bundles.may_change(act, bundle_id, "hand-over"),
    )  # fmt: skip


@router.get("/{bundle_id}/links")
def list_links(have: SharedDep, who: CallerDep, bundle_id: str) -> list[LinkView]:
    """List the download links of a bundle and whom they were made for, oldest first."""
    return [
        LinkView.of(issued) for issued in perform(have.core, who, handovers.list_links, bundle_id)
    ]


@router.post("/{bundle_id}/links/{link_id}/revoke")
def revoke_link(have: SharedDep, who: WriterDep, bundle_id: str, link_id: str) -> LinkView:
    """Revoke a download link before it expires; revoking it again changes nothing."""
    return LinkView.of(perform(have.core, who, handovers.revoke_link, bundle_id, link_id))


@router.post("/{bundle_id}/receipts", status_code=201, response_model=ReceiptView)
def register_receipt(
    have: SharedDep, who: KeyedDep, bundle_id: str, body: bodies.Receipt
) -> JSONResponse:
    """Register the receipt of the customer's apply; then the tenant is ready."""

    def do(act: Act) -> ReceiptView:
        return ReceiptView.like(receipts.register_receipt(act, bundle_id, body.receipt))

    route = f"bundles/{bundle_id}/receipts"
    return keyed(
        have,
        who,
        route,
        bodies.plain(body),
        do,
        None,
        status=201,
        may=lambda act: bundles.may_change(act, bundle_id, "receipts"),
    )


@router.head("/{bundle_id}/archive", include_in_schema=False)
@router.get(
    "/{bundle_id}/archive",
    response_class=Response,
    responses={200: {"content": {"application/octet-stream": {}}}},
)
def get_archive(
    request: Request,
    have: SharedDep,
    bundle_id: str,
    given: Credentials,
    token: Annotated[str | None, Query(max_length=200)] = None,
    file: Annotated[str | None, Query(max_length=200)] = None,
) -> Response:
    """Download the archive, or with `file` a file beside it.

    By an expiring link (`token`), or with a bearer token. Each download by a link is counted and
    recorded; HEAD returns the same headers without being counted. `X-Bundle-Files` names the files.
    """
    is_look = request.method == "HEAD"
    if token is not None:
        holder = Actor(id="link-holder", kind=ActorKind.USER)
        who = Caller(actor=holder, request_id=request.state.request_id, address=address_of(request))
        return _file(
            perform(
                have.core,
                who,
                handovers.download_by_link,
                bundle_id,
                token,
                name=file,
                is_look=is_look,
            )
        )
    who = caller_in_thread(request, have, given)
    return _file(
        perform(
            have.core, who, handovers.download_as_architect, bundle_id, name=file, is_look=is_look
        )
    )


def _file(download: Download) -> Response:
    headers = {
        "Content-Disposition": f'attachment; filename="{download.name}"',
        "Cache-Control": "no-store",
        "X-Bundle-Files": ", ".join(download.files),
    }
    if download.digest is not None:
        headers["X-Content-Digest"] = download.digest
    return Response(download.content, media_type="application/octet-stream", headers=headers)


def _shown(
    have: Shared, who: Caller, response: Response, use_case: Callable[[Act], Bundle]
) -> BundleView:
    def do(act: Act) -> tuple[Bundle, BundleView]:
        bundle = use_case(act)
        return bundle, BundleView.of(act, bundle)[0]

    bundle, view = perform(have.core, who, do)
    response.headers["ETag"] = etag(bundle.version)
    response.headers["Content-Location"] = f"/v1/bundles/{bundle.id}"
    return view
