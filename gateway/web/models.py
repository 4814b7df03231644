"""Models: the catalogue, one model, its variables, and an input file to fill in."""

import asyncio
from collections import Counter
from typing import Any

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from gateway.domain.models import Experiment, Model, Variable, did_you_mean
from gateway.errors import InvalidRequest, ModelNotFound
from gateway.flows.admit_model import UNPAID_SECONDS
from gateway.flows.for_sale import uploads_of
from gateway.flows.services import Services
from gateway.payments.challenge import iso
from gateway.simulation.library import search
from gateway.simulation.signals import inputs_csv
from gateway.simulation.uploads import Report
from gateway.web import pages
from gateway.web.answers import JsonResponse
from gateway.web.requests import identify, read_headers
from gateway.web.simulate import find_model

CAUSALITIES = ("parameter", "calculatedParameter", "structuralParameter", "input", "output", "local", "independent")
INLINE_VARIABLES = 500  # listing or counting more takes over a millisecond, which belongs in a thread


async def library(request: Request) -> Response:
    """GET /library, ?query=: what is for sale, and the account's own uploads behind it."""
    services: Services = request.app.state.services
    sender = identify(services, read_headers(request.scope))
    own = await uploads_of(services, sender.account_id) if sender.account_id is not None else []
    found = search([*services.library.models.values(), *own], request.query_params.get("query", ""))
    headers = {"cache-control": "no-store"} if sender.account_id is not None else {}  # it may name private uploads
    return JsonResponse({"models": [_summary(services, model) for model in found]}, headers=headers)


async def model(request: Request) -> Response:
    """GET /fmus/{fmu_id}; of an upload, its report."""
    services, found = await _find(request)
    if found.account_id is not None:
        return await report_response(request, found.account_id, found.sha256)
    return JsonResponse(await _details(services, found))


async def report_response(request: Request, account_id: str, sha256: str, status_code: int = 200) -> Response:
    """What its account is told of an upload, as JSON, or as a page for who asks for one first."""
    services: Services = request.app.state.services
    upload, found = services.store.fmu(account_id, sha256), await services.uploads.model(sha256, account_id)
    if upload is None or found is None:
        raise ModelNotFound("This upload is gone.")
    report = Report.from_json(upload.report)
    url = f"{services.settings.base_url}/fmus/{sha256}"
    body = await _details(services, found) | {
        "platforms": report.platforms,
        "missing_libraries": report.missing_libraries,
        "warnings": report.warnings,
        "trial_seconds": round(report.trial_seconds, 6),
        "size": report.size,
        "kept_until": iso(upload.uploaded_at + UNPAID_SECONDS),
        "variables_url": f"{url}/variables",
        "next_step": "POST /simulate with this fmu_id and your API key; only your account sees this model.",
    }
    headers = {"cache-control": "no-store", "content-location": url}
    if request.headers.get("accept", "").startswith("text/html"):
        text = pages.upload_report(report=body, support_contact=services.settings.support_contact)
        return HTMLResponse(text, status_code=status_code, headers=headers)
    return JsonResponse(body, status_code=status_code, headers=headers)


async def _details(services: Services, found: Model) -> dict[str, Any]:
    if len(found.variables) <= INLINE_VARIABLES:
        return _summary(services, found) | _interface(found)
    return _summary(services, found) | await asyncio.to_thread(_interface, found)


def _interface(found: Model) -> dict[str, Any]:
    counts = Counter(v.causality for v in found.variables.values())
    return {
        "fmi_types": found.kinds,
        "inputs": found.inputs,
        "outputs": found.outputs,
        "variable_counts": {causality: counts[causality] for causality in CAUSALITIES if counts[causality]},
    }


async def variables(request: Request) -> Response:
    """GET /fmus/{fmu_id}/variables, ?causality=."""
    _, found = await _find(request)
    wanted = request.query_params.get("causality")
    if wanted is not None and wanted not in CAUSALITIES:
        near = did_you_mean(wanted, CAUSALITIES)
        raise InvalidRequest(f"causality is one of: {', '.join(CAUSALITIES)}.", field="causality", did_you_mean=near)
    if len(found.variables) <= INLINE_VARIABLES:
        return _listing(found, wanted)
    return await asyncio.to_thread(_listing, found, wanted)


def _listing(found: Model, causality: str | None) -> Response:
    listed = [_variable(v) for v in found.variables.values() if causality in (None, v.causality)]
    return JsonResponse({"fmu_id": found.fmu_id, "variables": listed})


async def inputs(request: Request) -> Response:
    """GET /fmus/{fmu_id}/inputs.csv: the header and two rows, to fill in and send with `fmu-gateway run --input`."""
    _, found = await _find(request)
    return Response(inputs_csv(found), media_type="text/csv")


async def _find(request: Request) -> tuple[Services, Model]:
    services: Services = request.app.state.services
    sender = identify(services, read_headers(request.scope))
    return services, await find_model(services, request.path_params["fmu_id"], sender.account_id)


def _summary(services: Services, model: Model) -> dict[str, Any]:
    price = services.price_of(model)
    return {
        "fmu_id": model.fmu_id,
        "name": model.name,
        "description": model.description,
        "fmi_version": model.fmi_version,
        "sha256": model.sha256,
        "price": price.amount,
        "currency": price.currency,
        "default_experiment": _experiment(model.experiment),
    }


def _experiment(experiment: Experiment) -> dict[str, float]:
    return {"start_time": experiment.start_time, "stop_time": experiment.stop_time, "step": experiment.step}


def _variable(variable: Variable) -> dict[str, Any]:
    listed: dict[str, Any] = {
        "name": variable.name,
        "type": variable.type,
        "causality": variable.causality,
        "variability": variable.variability,
        "unit": variable.unit,
        "start": variable.start,
        "min": variable.min,
        "max": variable.max,
        "description": variable.description,
    }
    if variable.dimensions:
        listed["dimensions"] = variable.dimensions
    if variable.items:
        listed["items"] = dict(variable.items)
    return listed
