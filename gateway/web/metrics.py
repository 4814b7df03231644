"""GET /metrics: what the meter, the books and the alarms say, for Prometheus. Gathered only when somebody asks."""

import hmac
import ipaddress
from collections.abc import Iterable, Iterator
from dataclasses import asdict

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector
from starlette.requests import Request
from starlette.responses import Response

from gateway.domain.funnel import FunnelDay
from gateway.domain.ledger import AtRisk
from gateway.errors import KeyRefused
from gateway.flows.funnel import today
from gateway.flows.meter import Meter
from gateway.flows.services import Services
from gateway.store.alarms import Alarms
from gateway.store.reports import read_money_at_risk
from gateway.web.edge import Edge

# What any proxy leaves behind. A request with one of these did not begin on this machine, whoever handed it on.
FORWARDED = ("x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "x-real-ip", "forwarded", "via")
PREFIX = "fmu_gateway"
PROCESS = ProcessCollector(registry=None)


class Families(Collector):
    """Metric families that were made before."""

    def __init__(self, families: Iterable[Metric]):
        self._families = list(families)

    def collect(self) -> Iterable[Metric]:
        return self._families


async def metrics(request: Request) -> Response:
    services: Services = request.app.state.services
    if not (_is_from_here(request) or _has_token(request, services.settings.metrics_token)):
        raise KeyRefused("Metrics are shown on this machine, or to who sends METRICS_TOKEN as `Authorization: Bearer`.")
    edge: Edge = request.app.state.edge
    families = [
        *_of_answers(edge.answers_by_route()),
        *_of_runs(services.meter),
        *_of_payments(services.meter, await today(services)),
        *_of_books(services, await services.store.alarms(services.now()), await read_money_at_risk(services.store)),
        *PROCESS.collect(),
    ]
    headers = {"content-type": CONTENT_TYPE_LATEST, "cache-control": "no-store"}
    return Response(generate_latest(Families(families)), headers=headers)


def _is_from_here(request: Request) -> bool:
    """From loopback, and not handed on by a proxy that runs here, whether TRUSTED_PROXIES names it or not."""
    services: Services = request.app.state.services
    client = request.client
    if client is None or any(name in request.headers for name in FORWARDED):
        return False
    try:
        address = ipaddress.ip_address(client.host)
    except ValueError:
        return False
    proxies = (ipaddress.ip_network(proxy, strict=False) for proxy in services.settings.trusted_proxies)
    return address.is_loopback and not any(address in proxy for proxy in proxies)


def _has_token(request: Request, token: str) -> bool:
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    return bool(token) and scheme.lower() == "bearer" and hmac.compare_digest(given.strip().encode(), token.encode())


def _counter(name: str, says: str, labels: tuple[str, ...] = ()) -> CounterMetricFamily:
    return CounterMetricFamily(f"{PREFIX}_{name}", says, labels=labels)


def _gauge(name: str, says: str, labels: tuple[str, ...] = ()) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"{PREFIX}_{name}", says, labels=labels)


def _of_answers(answers: dict[tuple[str, int], int]) -> Iterator[Metric]:
    counter = _counter("answers", "HTTP answers by route and status.", ("route", "status"))
    for (route, status), count in answers.items():
        counter.add_metric((route, str(status)), count)
    yield counter


def _of_runs(meter: Meter) -> Iterator[Metric]:
    runs = _counter("runs", "Runs that ended, by what paid for them and how they ended.", ("entitlement", "outcome"))
    for labels, count in meter.runs.items():
        runs.add_metric(labels, count)
    yield runs
    seconds = HistogramMetricFamily(f"{PREFIX}_run_seconds", "Wall time of runs, without waiting for a place.")
    seconds.add_metric((), meter.run_histogram, meter.run_seconds)
    yield seconds
    cpu = _counter("run_cpu_seconds", "Processor time that runs used.")
    cpu.add_metric((), meter.cpu_seconds)
    yield cpu
    for name, says, count in (
        ("runs_running", "Runs that run now.", meter.running),
        ("runs_waiting", "Runs that wait for a place.", meter.waiting),
    ):
        gauge = _gauge(name, says)
        gauge.add_metric((), count)
        yield gauge


def _of_payments(meter: Meter, day: FunnelDay) -> Iterator[Metric]:
    quotes = _counter("quotes", "Quotes made.")
    quotes.add_metric((), meter.quotes)
    yield quotes
    events = _counter("payment_events", "What happened to payments; each has a log line, too.", ("event",))
    for event, count in meter.payment_events.items():
        events.add_metric((event,), count)
    yield events
    refused = _gauge("webhooks_refused", "Webhooks that could not be verified, in a row.")
    refused.add_metric((), meter.webhooks_refused)
    yield refused
    funnel = _gauge("today", "The funnel of this day (UTC) so far; it survives restarts.", ("stage",))
    for stage in ("keys", "quotes", "checkouts", "payments", "runs"):
        funnel.add_metric((stage,), getattr(day, stage))
    yield funnel
    conversion = _gauge("today_conversion", "Payments per quote of this day (UTC) so far; no value without quotes.")
    if day.conversion is not None:
        conversion.add_metric((), day.conversion)
    yield conversion


def _of_books(services: Services, alarms: Alarms, at_risk: dict[tuple[str, str], AtRisk]) -> Iterator[Metric]:
    for name, says, count in (
        ("writer_batches", "Transactions of the writer thread.", services.store.write.batches),
        ("writer_operations", "Operations in those transactions.", services.store.write.operations),
    ):
        counter = _counter(name, says)
        counter.add_metric((), count)
        yield counter
    gauge = _gauge("alarms", "What somebody should look at; zero is well.", ("alarm",))
    for alarm, count in asdict(alarms).items():
        gauge.add_metric((alarm,), count)
    yield gauge
    money = _gauge(
        "money_at_risk_micros",
        "Millionths of the currency that buyers paid and have nothing for yet.",
        ("place", "mode", "currency"),
    )
    for (mode, currency), amounts in at_risk.items():
        for place, micros in asdict(amounts).items():
            money.add_metric((place, mode, currency), micros)
    yield money
