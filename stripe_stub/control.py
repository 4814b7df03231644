"""Everything under /_stub: the stub's own controls, for tests, for people and for any language. JSON in, JSON out."""

import json
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from stripe_stub import disputes, endpoints, payments, refunds, sessions
from stripe_stub.deliveries import Deliveries
from stripe_stub.errors import Invalid, Missing, StripeError
from stripe_stub.payments import Buyer
from stripe_stub.wire import Wire
from stripe_stub.world import Obj, World

KINDS = "checkout.session payment_intent charge refund dispute balance_transaction customer webhook_endpoint".split()
Handler = Callable[[Request, Obj], Awaitable[Any]]


class Control:
    """The controls of one stub."""

    def __init__(self, world: World, wire: Wire, deliveries: Deliveries):
        self.world, self.wire, self.deliveries = world, wire, deliveries

    def routes(self) -> list[Route]:
        table: list[tuple[str, str, Handler]] = [
            ("GET", "/_stub/state", self.state),
            ("GET", "/_stub/calls", self.calls),
            ("DELETE", "/_stub/calls", self.forget_calls),
            ("POST", "/_stub/reset", self.reset),
            ("POST", "/_stub/checkout/sessions/{id}/pay", self.pay),
            ("GET", "/_stub/faults", self.faults),
            ("POST", "/_stub/faults", self.add_fault),
            ("DELETE", "/_stub/faults", self.clear_faults),
            ("GET", "/_stub/clock", self.clock),
            ("POST", "/_stub/clock", self.move_clock),
            ("GET", "/_stub/scripts", self.scripts),
            ("POST", "/_stub/scripts", self.add_script),
            ("DELETE", "/_stub/scripts", self.clear_scripts),
            ("GET", "/_stub/deliveries", self.delivery_log),
            ("POST", "/_stub/deliveries/{id}/resend", self.resend),
            ("POST", "/_stub/events/{id}/resend", self.resend_event),
            ("POST", "/_stub/events", self.make_event),
            ("POST", "/_stub/webhook", self.raw_webhook),
            ("POST", "/_stub/endpoint", self.set_endpoint),
            ("POST", "/_stub/flush", self.flush),
            ("POST", "/_stub/payments/{id}/settle", self.settle),
            ("POST", "/_stub/payments/{id}/refund", self.refund),
            ("POST", "/_stub/payments/{id}/dispute", self.dispute),
            ("POST", "/_stub/disputes/{id}/close", self.close_dispute),
            ("POST", "/_stub/disputes/{id}/escalate", self.escalate_dispute),
            ("POST", "/_stub/refunds/{id}/fail", self.fail_refund),
        ]
        return [Route(path, self._answering(handler), methods=[method]) for method, path, handler in table]

    def _answering(self, handler: Handler) -> Callable[[Request], Awaitable[Response]]:
        async def answer(request: Request) -> Response:
            self.world.clock.tick()
            try:
                text = await request.body()
                wish = json.loads(text) if text else {}
                if not isinstance(wish, dict):
                    raise Invalid("Send a JSON object.")
                return JSONResponse(await handler(request, wish))
            except Missing as error:
                return JSONResponse({"error": error.message}, 404)
            except StripeError as error:
                return JSONResponse({"error": error.message}, 409 if "not open" in error.message else 400)
            except (KeyError, TypeError, ValueError) as error:
                return JSONResponse({"error": f"{type(error).__name__}: {error}"}, 400)
            finally:
                self.world.store.commit()

        return answer

    async def state(self, request: Request, wish: Obj) -> Obj:
        table = self.world.store.table
        return {
            "clock": await self.clock(request, wish),
            "objects": {kind: list(table(kind).values()) for kind in KINDS},
            "events": list(table("event").values()),
            "deliveries": list(self.deliveries.log.values()),
            "faults": self.wire.faults.describe(),
            "scripts": self.deliveries.scripts.describe(),
            "calls": (await self.calls(request, wish))["calls"],
            "calls_total": self.wire.calls_total,
        }

    async def calls(self, request: Request, wish: Obj) -> Obj:
        """`?answers=1` adds the body of each answer."""
        left_out = () if request.query_params.get("answers") else ("answer",)
        calls = [{name: value for name, value in call.items() if name not in left_out} for call in self.wire.calls]
        return {"total": self.wire.calls_total, "calls": calls}

    async def forget_calls(self, request: Request, wish: Obj) -> Obj:
        self.wire.calls.clear()
        self.wire.calls_total = 0
        return await self.calls(request, wish)

    async def reset(self, request: Request, wish: Obj) -> Obj:
        """Forget everything but the first webhook endpoint, the one of the command line; the clock is the wall's."""
        await self.deliveries.quiet()
        await self.wire.faults.clear()
        self.deliveries.scripts.clear()
        self.deliveries.signatures_by_stub = False
        store = self.world.store
        kept = next(iter(store.table("webhook_endpoint")), None)
        for name in [*store.tables]:
            for key in [key for key in store.table(name) if name != "meta" and key != kept]:
                store.drop(name, key)
        self.world.clock.freeze(False)
        await self.world.clock.move_to(time.time())
        return await self.forget_calls(request, wish)

    async def pay(self, request: Request, wish: Obj) -> Any:
        session = self.world.get("checkout.session", request.path_params["id"])
        if session["status"] != "open":
            raise Invalid(f"This Checkout Session is not open: its status is {session['status']}.")
        bank = wish.get("bank")
        means = payments.means_for(session, None if bank else wish.get("card", "4242424242424242"), bank)
        if isinstance(means, str):
            raise Invalid(means)
        buyer = Buyer(wish.get("email", "buyer@example.com"), wish.get("name"))
        outcome = payments.pay(self.world, session, means, buyer, challenge=wish.get("challenge", "complete"))
        done = outcome.result in ("paid", "processing")
        return {
            "outcome": outcome.result,
            "error": outcome.error,
            "webhooks": await self.deliveries.first_answers(outcome.events),
            "redirect_url": sessions.success_url(session) if done else None,
            "session": session,
        }

    async def faults(self, request: Request, wish: Obj) -> list[Obj]:
        return self.wire.faults.describe()

    async def add_fault(self, request: Request, wish: Obj) -> Obj:
        return asdict(self.wire.faults.add(wish))

    async def clear_faults(self, request: Request, wish: Obj) -> list[Obj]:
        await self.wire.faults.clear()
        return []

    async def clock(self, request: Request, wish: Obj) -> Obj:
        clock = self.world.clock
        signs = "stub" if self.deliveries.signatures_by_stub else "real"
        return {"now": clock.now(), "frozen": clock.frozen, "ahead": round(clock.offset, 3), "signatures": signs}

    async def move_clock(self, request: Request, wish: Obj) -> Obj:
        if unknown := set(wish) - {"freeze", "advance", "set", "signatures"}:
            raise Invalid(f"The clock knows freeze, advance, set and signatures, no {', '.join(unknown)}.")
        if "signatures" in wish:
            self.deliveries.signatures_by_stub = wish["signatures"] == "stub"
        if "freeze" in wish:
            self.world.clock.freeze(bool(wish["freeze"]))
        if "set" in wish or "advance" in wish:
            target = float(wish["set"]) if "set" in wish else self.world.clock.time() + float(wish["advance"])
            await self.world.clock.move_to(target)
        return await self.clock(request, wish)

    async def scripts(self, request: Request, wish: Obj) -> list[Obj]:
        return self.deliveries.scripts.describe()

    async def add_script(self, request: Request, wish: Obj) -> list[Obj]:
        self.deliveries.scripts.add(wish)
        return self.deliveries.scripts.describe()

    async def clear_scripts(self, request: Request, wish: Obj) -> list[Obj]:
        self.deliveries.scripts.clear()
        return []

    async def delivery_log(self, request: Request, wish: Obj) -> list[Obj]:
        return list(self.deliveries.log.values())

    async def resend(self, request: Request, wish: Obj) -> Obj:
        id_ = request.path_params["id"]
        if id_ not in self.deliveries.log:
            raise Missing("delivery", id_)
        return await self.deliveries.resend(id_)

    async def resend_event(self, request: Request, wish: Obj) -> list[Obj]:
        id_ = self.world.get("event", request.path_params["id"])["id"]
        return [await self.deliveries.resend(key) for key in self.world.private(id_)["deliveries"]]

    async def make_event(self, request: Request, wish: Obj) -> Obj:
        """Any event anyone can think of, signed and delivered like a true one."""
        envelope = {name: value for name, value in wish.items() if name not in ("type", "object")}
        event = self.world.emit(wish["type"], wish["object"], **envelope)
        return {"event": event, "webhooks": await self.deliveries.first_answers([event])}

    async def raw_webhook(self, request: Request, wish: Obj) -> Obj:
        endpoint: Obj = next(iter(self.world.store.table("webhook_endpoint").values()), {})
        body = wish["body"] if isinstance(wish["body"], str) else json.dumps(wish["body"], indent=2)
        secret = wish.get("secret") or (self.world.private(endpoint["id"])["secret"] if endpoint else "")
        signed = self.deliveries.sign(body.encode(), secret, int(wish.get("timestamp_offset", 0)))
        return await self.deliveries.send_raw(
            body.encode(), wish.get("url") or endpoint["url"], wish.get("signature", signed)
        )

    async def set_endpoint(self, request: Request, wish: Obj) -> Obj:
        """Replace the first endpoint, the one of the command line."""
        wanted = wish.get("enabled_events", ["*"])
        found = next(iter(self.world.store.table("webhook_endpoint").values()), None)
        if found is None:
            return endpoints.create(self.world, {"url": wish["url"], "enabled_events": wanted}, wish.get("secret"))
        endpoints.update(self.world, {"url": wish["url"], "enabled_events": wanted}, found["id"])
        if "secret" in wish:
            self.world.private(found["id"])["secret"] = wish["secret"]
            self.world.save_private(found["id"])
        return {**found, "secret": self.world.private(found["id"])["secret"]}

    async def flush(self, request: Request, wish: Obj) -> Obj:
        return {"pending": await self.deliveries.flush()}

    async def _told(self, act: Callable[[], Obj]) -> Obj:
        """What `act` made, once its events got their first answers."""
        with self.world.recording() as events:
            made = act()
        await self.deliveries.first_answers(events)
        return made

    async def settle(self, request: Request, wish: Obj) -> Obj:
        succeeded = {"succeeded": True, "failed": False}[wish.get("outcome", "succeeded")]
        return await self._told(lambda: payments.settle(self.world, request.path_params["id"], succeeded))

    async def refund(self, request: Request, wish: Obj) -> Obj:
        """As the dashboard does it: no idempotency key, no metadata of the seller's code."""
        wish = {"payment_intent": request.path_params["id"], **wish}
        return await self._told(lambda: refunds.create(self.world, wish))

    async def dispute(self, request: Request, wish: Obj) -> Obj:
        intent = self.world.get("payment_intent", request.path_params["id"])
        charge = self.world.get("charge", str(intent["latest_charge"]))
        more = {"reason": wish.get("reason", "fraudulent"), "inquiry": bool(wish.get("inquiry"))}
        return await self._told(lambda: disputes.open_(self.world, charge, **more))

    async def close_dispute(self, request: Request, wish: Obj) -> Obj:
        return await self._told(lambda: disputes.end(self.world, request.path_params["id"], str(wish["status"])))

    async def escalate_dispute(self, request: Request, wish: Obj) -> Obj:
        return await self._told(lambda: disputes.escalate(self.world, request.path_params["id"]))

    async def fail_refund(self, request: Request, wish: Obj) -> Obj:
        return await self._told(lambda: refunds.end(self.world, request.path_params["id"], succeeded=False))
