"""Uploads: an account brings its own FMU, and takes it back."""

import asyncio
import math

from starlette.requests import Request
from starlette.responses import Response

from gateway.errors import (
    Busy,
    Draining,
    KeyRefused,
    ModelNotFound,
    RateLimited,
    UploadsDisabled,
    UploadsFull,
)
from gateway.flows.admit_model import admit_model, withdraw_model
from gateway.flows.for_sale import check_confined
from gateway.flows.services import Services
from gateway.web.limits import tell
from gateway.web.models import report_response
from gateway.web.receive import receive_file
from gateway.web.requests import identify, read_headers

RECEIVED_AT_ONCE = 4  # files on their way in; each may be MAX_UPLOAD_MB beyond what is counted yet
MEGABYTE = 1 << 20
DAY = 24 * 3600  # s


async def upload(request: Request) -> Response:
    """POST /fmus: 201 with the report, 200 if the account has this file already."""
    services: Services = request.app.state.services
    settings = services.settings
    if not settings.uploads_enabled:
        raise UploadsDisabled()
    account_id = _account(services, request, "Uploading")
    if services.draining:
        raise Draining()
    check_confined(services)
    await _within_day(request, account_id)
    room = settings.uploads_total_mb * MEGABYTE - await services.store.fmu_bytes()
    if room <= 0:
        raise UploadsFull()
    if services.receiving >= RECEIVED_AT_ONCE:
        raise Busy("Other uploads are on their way in.")
    file = services.uploads.incoming(services.new_id("upl"))
    services.receiving += 1
    try:
        sha256 = await receive_file(
            request.receive,
            file,
            content_type=request.headers.get("content-type", ""),
            content_length=request.headers.get("content-length", ""),
            limit=settings.max_upload_mb * MEGABYTE,
            room=room,
        )
        _, new = await admit_model(services, account_id, file, sha256)
    finally:
        services.receiving -= 1
        await asyncio.to_thread(services.uploads.discard, file)
    return await report_response(request, account_id, sha256, status_code=201 if new else 200)


async def withdraw(request: Request) -> Response:
    """DELETE /fmus/{fmu_id}: only one's own; a model of the library is as unknown here as anybody else's upload."""
    services: Services = request.app.state.services
    account_id = _account(services, request, "Taking an upload back")
    if not await withdraw_model(services, account_id, request.path_params["fmu_id"]):
        raise ModelNotFound("Your account has no upload with that id.")
    return Response(status_code=204)


def _account(services: Services, request: Request, what: str) -> str:
    account_id = identify(services, read_headers(request.scope)).account_id
    if account_id is None:
        raise KeyRefused(f"{what} takes an API key: the model belongs to its account. POST /keys gives one.")
    return account_id


async def _within_day(request: Request, account_id: str) -> None:
    """Every attempt counts, in memory: a refused one costs us as much as one that is taken. Those that were taken are
    counted in the database as well, so that neither a restart nor a bucket that refills all day makes more of them."""
    services: Services = request.app.state.services
    rate = request.app.state.rates.uploads
    most = services.settings.uploads_per_day
    seconds = rate.wait(account_id)
    if most and not seconds:
        taken = [upload.uploaded_at for upload in await services.store.fmus_of(account_id)][-most:]
        seconds = max(0, taken[0] + DAY - services.now()) if len(taken) == most else 0
    tell(request.scope, rate, account_id)
    if seconds:
        detail = f"An account may upload {most} files a day."
        raise RateLimited(detail, retry_after=math.ceil(seconds))
