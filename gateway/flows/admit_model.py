"""Admit a model: the only way in for an upload, and its ways out: its account takes it back, or nobody pays for it."""

import asyncio
from pathlib import Path

import structlog

from gateway.errors import UPLOAD_PROBLEMS, Busy, StorageFull, UploadRefused, UploadsFull
from gateway.flows.services import Services
from gateway.simulation.forkservers import NoProcess
from gateway.simulation.intake import Refused
from gateway.simulation.uploads import Unloadable
from gateway.store.records import Upload

UNPAID_SECONDS = 7 * 24 * 3600  # what nobody paid to run leaves after it

log = structlog.get_logger()


async def admit_model(services: Services, account_id: str, file: Path, sha256: str) -> tuple[Upload, bool]:
    """Examine a received file and make it this account's model; False if it was that before. UploadRefused says why
    not; UploadsFull if there is no room for it. One at a time: who comes meanwhile waits."""
    async with services.trial:
        known = services.store.fmu(account_id, sha256)
        if known is not None:
            return known, False
        try:
            with services.runner.reserve(paid=False) as place:
                report = await services.uploads.examine(
                    file, sha256, services.runner.forkserver, place, services.limits
                )
        except Refused as refusal:
            log.info("upload_refused", account=account_id, sha256=sha256, code=refusal.code)
            raise _problem(refusal) from None
        except NoProcess as error:
            log.error("upload_not_tried", account=account_id, sha256=sha256, error=str(error))
            raise Busy("No process can be started for the trial run now.") from error
        except OSError as error:
            log.error("upload_not_stored", account=account_id, sha256=sha256, error=str(error))
            raise StorageFull() from error
        upload = Upload(account_id, sha256, report.size, report.to_json(), services.now())
        most = services.settings.uploads_total_mb << 20
        if not await services.store.add_fmu(upload, most_bytes=most):
            await _clear(services)
            raise UploadsFull()
        log.info("upload_admitted", account=account_id, sha256=sha256, size=report.size)
        return upload, True


async def withdraw_model(services: Services, account_id: str, sha256: str) -> bool:
    """Take an upload back; False if the account has none. What was paid for it and not spent goes back when its token
    is next used, as for every model that is withdrawn."""
    if not await services.store.remove_fmu(account_id, sha256):
        return False
    log.info("upload_withdrawn", account=account_id, sha256=sha256)
    async with services.trial:
        await _clear(services)
    return True


async def clear_uploads(services: Services) -> None:
    """What nobody paid for in time leaves, with whatever a crash left of others. May be repeated at any time."""
    for upload in await services.store.unpaid_fmus(services.now() - UNPAID_SECONDS):
        await services.store.remove_fmu(upload.account_id, upload.sha256)
        log.info("upload_left_unpaid", account=upload.account_id, sha256=upload.sha256)
    async with services.trial:
        await _clear(services)


async def _clear(services: Services) -> None:
    """Files that are nobody's go, and so do rows whose file is lost: what was paid for them goes back."""
    files, rows = await asyncio.to_thread(services.uploads.ids), await services.store.fmu_files()
    for sha256 in files - rows:
        if services.library.by_sha256(sha256) is None:
            services.runner.forget(sha256)
        await asyncio.to_thread(services.uploads.remove, sha256)
    for sha256 in rows - files:
        log.error("upload_lost", sha256=sha256)
        await services.store.forget_file(sha256)


def _problem(refusal: Refused) -> UploadRefused:
    problem = UPLOAD_PROBLEMS[refusal.code](str(refusal))
    if isinstance(refusal, Unloadable):
        problem.fields |= {"missing_libraries": refusal.missing, "platforms": refusal.platforms}
    return problem
