"""Funnel: quotes stand in no row, so they are counted in memory and added to the books rarely.

Never while they are served: at most once an hour, when a day ends, and when the gateway stops. A kill -9 so loses the
quotes of an hour at most; everything else in the funnel is counted from the rows themselves.
"""

from dataclasses import replace

import structlog

from gateway.domain.funnel import DAY, FunnelDay
from gateway.errors import GatewayError
from gateway.flows.services import Services
from gateway.store.reports import add_quotes, read_funnel

WRITE_EVERY_SECONDS = 3600
log = structlog.get_logger()


async def write_quotes(services: Services, *, stopping: bool = False) -> None:
    """Called every minute; writes when it is time to. Quotes are put on the day on which they began to be counted, so
    those of the first minute after midnight are put on the day before."""
    meter, now = services.meter, services.now()
    if not (stopping or now - meter.quotes_since >= WRITE_EVERY_SECONDS or now // DAY != meter.quotes_since // DAY):
        return
    made = meter.quotes
    if made > meter.quotes_written:
        try:
            await add_quotes(services.store, meter.quotes_since // DAY, made - meter.quotes_written)
        except GatewayError as error:  # they stay counted, and nobody's stop or reconciliation ends here
            log.warning("quotes_not_written", error=error.code)
            return
    meter.quotes_written, meter.quotes_since = made, now


async def today(services: Services) -> FunnelDay:
    """The day so far, with the quotes that are not written yet."""
    day = services.now() // DAY
    found = await read_funnel(services.store, services.now(), livemode=services.settings.livemode)
    written = next((each for each in found if each.day == day), FunnelDay(day, 0, 0, 0, 0, 0, 0))
    waiting = services.meter.quotes - services.meter.quotes_written
    return replace(written, quotes=written.quotes + waiting)
