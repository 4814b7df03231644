"""GET /ledger: an account's transfers, so that anybody can check what became of their money."""

import math
import re
from datetime import UTC, datetime, time, timedelta
from typing import Any
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response

from gateway.domain.ledger import Entry
from gateway.errors import InvalidRequest, KeyRefused
from gateway.flows.services import Services
from gateway.payments.challenge import iso
from gateway.store.reports import Span, read_ledger
from gateway.web.answers import JsonResponse
from gateway.web.requests import identify, read_headers

LIMIT, MOST = 100, 1000  # transfers in one answer
# RFC 3339's full-date, and its date-time, which never leaves out where its clock stands.
DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
TIME = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
LAST = 2**62  # after every time and every booking there will be


async def ledger(request: Request) -> Response:
    """In the order of booking. `next` is the address of what comes after, None at the end."""
    services: Services = request.app.state.services
    sender = identify(services, read_headers(request.scope))
    if sender.account_id is None:
        raise KeyRefused("The ledger is an account's: send one of its keys.")
    asked = request.query_params
    span = Span(_seconds(asked.get("from"), "from"), _seconds(asked.get("to"), "to"))
    limit = _number(asked.get("limit"), "limit", LIMIT, most=MOST)
    after = _number(asked.get("cursor"), "cursor", 0, least=0, most=LAST)
    livemode = services.settings.livemode
    found = await read_ledger(services.store, sender.account_id, span, livemode=livemode, after=after, most=limit + 1)
    page = found[:limit]
    more = None
    if len(found) > limit:
        more = f"{services.settings.base_url}/ledger?{urlencode({**asked, 'cursor': page[-1].seq})}"
    answer = {"transfers": [_shown(entry) for entry in page], "next": more}
    return JsonResponse(answer, headers={"cache-control": "no-store"})


def _shown(entry: Entry) -> dict[str, Any]:
    return {
        "id": entry.id,
        "kind": entry.kind,
        "amount": entry.money.amount,
        "currency": entry.money.currency,
        "from": entry.source,
        "to": entry.target,
        "purchase": entry.purchase,
        "run": entry.run,
        "at": iso(entry.at),
    }


def _seconds(text: str | None, field: str) -> int:
    """Epoch seconds, rounded up, for whole ones to be compared with; a date means the beginning of its day as `from`
    and its end as `to`, in UTC."""
    if text is None:
        return LAST if field == "to" else -LAST
    try:
        if DATE.fullmatch(text):
            day = datetime.combine(datetime.strptime(text, "%Y-%m-%d"), time(), UTC)
            return int((day + timedelta(days=field == "to")).timestamp())
        if TIME.fullmatch(text):
            return math.ceil(datetime.fromisoformat(text.upper()).timestamp())
    except (ValueError, OverflowError):
        pass
    detail = f"{field} is a date (2026-11-21) or a time with its offset (2026-11-21T12:00:00Z; + is %2B in a URL)."
    raise InvalidRequest(detail, field=field)


def _number(text: str | None, field: str, default: int, *, least: int = 1, most: int) -> int:
    if text is None:
        return default
    if not re.fullmatch(r"[0-9]{1,19}", text) or not least <= int(text) <= most:
        what = "the one in the last answer's `next`" if field == "cursor" else f"a number from {least} to {most}"
        raise InvalidRequest(f"{field} is {what}.", field=field)
    return int(text)
