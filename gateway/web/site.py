"""Site: the landing page, the contract for people and programs, and whether the gateway is alive and able to sell."""

import asyncio
import contextlib
import sqlite3
from typing import Any

from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response

from gateway.domain.models import Model
from gateway.errors import GatewayError
from gateway.flows.services import Services
from gateway.simulation.plot import plot_svg
from gateway.web import pages
from gateway.web.answers import JsonResponse

READY_AGAIN_SECONDS = 10
WRITTEN_WITHIN_SECONDS = 1.0  # a database that somebody locked answers after five
Check = dict[str, Any]


async def landing(request: Request) -> Response:
    """GET /."""
    services: Services = request.app.state.services
    settings = services.settings
    plots: dict[str, str] = request.app.state.plots
    text = pages.landing(
        models=[_entry(services, model, plots) for model in services.library.models.values()],
        base_url=settings.base_url,
        livemode=settings.livemode,
        stripe_enabled=settings.stripe_enabled,
        support_contact=settings.support_contact,
        uploads_enabled=settings.uploads_enabled,
    )
    return HTMLResponse(text)


def _entry(services: Services, model: Model, plots: dict[str, str]) -> pages.CatalogueEntry:
    if model.sha256 not in plots:
        reference = services.library.reference(model)
        units = {v.name: v.unit for v in model.variables.values()}
        plots[model.sha256] = plot_svg(
            columns=reference.columns, arrays=reference.arrays, units=units, title=model.fmu_id, small=True
        )
    price = services.price_of(model)
    return pages.CatalogueEntry(
        fmu_id=model.fmu_id,
        name=model.name,
        description=model.description,
        fmi_version=model.fmi_version,
        price_text=str(price) if price.micros else "free",
        is_free=not price.micros,
        stop_time=model.experiment.stop_time,
        step=model.experiment.step,
        inputs=len(model.inputs),
        outputs=len(model.outputs),
        plot_svg=plots[model.sha256],
    )


async def docs(request: Request) -> Response:
    """GET /docs."""
    return HTMLResponse(pages.docs(spec=pages.openapi(base_url=_base_url(request))))


async def openapi(request: Request) -> Response:
    """GET /openapi.json."""
    return JsonResponse(pages.openapi(base_url=_base_url(request)))


async def llms(request: Request) -> Response:
    """GET /llms.txt."""
    return PlainTextResponse(pages.llms_txt(base_url=_base_url(request)))


def _base_url(request: Request) -> str:
    services: Services = request.app.state.services
    return services.settings.base_url


async def health(request: Request) -> Response:
    """GET /health: the process answers."""
    return JsonResponse({"status": "ok"})


async def ready(request: Request) -> Response:
    """GET /ready: able to sell; 503 if not, with what is wrong."""
    services: Services = request.app.state.services
    settings = services.settings
    database, alarms = await _database(services)
    checks: dict[str, Check] = {
        "database": database,
        "models": {"ok": bool(services.library.models), "detail": _models_detail(services)},
        "sandbox": {"ok": True, "detail": "; ".join(services.runner.missing) or "every layer is there"},
        "stripe": {"ok": True, "detail": _stripe_detail(services)},
        "alarms": alarms,
        "draining": {"ok": not services.draining, "detail": "stopping" if services.draining else "no"},
    }
    # An alarm wants a person, not another server: taking this one out of service would end sales for one late event.
    # Writes that fail are the database's check as well: nothing can be sold.
    able = all(check["ok"] for name, check in checks.items() if name != "alarms")
    body = {
        "ready": able,
        "checks": checks,
        "sandbox": services.runner.level,
        "models": len(services.library.models),
        "livemode": settings.livemode,
    }
    headers = {"cache-control": "no-store"} | ({} if able else {"retry-after": str(READY_AGAIN_SECONDS)})
    return JsonResponse(body, status_code=200 if able else 503, headers=headers)


async def _database(services: Services) -> tuple[Check, Check]:
    """How the database does, and the alarms. After a write that failed another one is tried: a gateway that is sent
    nobody, since it is not ready, might write nothing else and never be ready again."""
    store = services.store
    try:
        if store.write.failed_writes:
            with contextlib.suppress(GatewayError, TimeoutError):
                async with asyncio.timeout(WRITTEN_WITHIN_SECONDS):
                    await store.set_progress("ready", services.now())
        raised = (await store.alarms(services.now())).raised
    except sqlite3.Error as error:
        detail = f"cannot be read: {error}"
        return {"ok": False, "detail": detail}, {"ok": False, "detail": f"not known: the database {detail}"}
    failed = store.write.failed_writes
    database = {"ok": not failed, "detail": f"{failed} failed writes in a row" if failed else "answers"}
    said = [f"{count} {name}" for name, count in (raised | services.meter.webhook_alarm).items()]
    return database, {"ok": not said, "detail": ", ".join(said) or "none"}


def _models_detail(services: Services) -> str:
    refused = len(services.library.refused)
    return f"{len(services.library.models)} for sale" + (f", {refused} refused: see the log" if refused else "")


def _stripe_detail(services: Services) -> str:
    if services.checkout is None:
        return "disabled: everything is free"
    return "live" if services.settings.livemode else "test mode"
