"""Entitlement: what may pay for a run, and who may read one."""

from dataclasses import dataclass, replace

from gateway.domain.ids import raw_id
from gateway.domain.purchases import Purchase
from gateway.domain.statements import Kind
from gateway.domain.tokens import Token, TokenState, read_token
from gateway.errors import (
    RunInProgress,
    TokenConsumed,
    TokenExpired,
    TokenInvalid,
    TokenRefunded,
    TokenRevoked,
)
from gateway.flows.services import Services
from gateway.store.records import Run

# To an earlier string of a token, which reads nothing any more.
ASK_AGAIN = "GET the status_url of the quote you paid: it names the run, which your latest token or your API key reads."
RUN_PADDING = b"\0\0"  # to a multiple of 3 bytes


def run_url(services: Services, run_id: str) -> str:
    return f"{services.settings.base_url}/runs/{run_id}"


@dataclass(frozen=True, slots=True)
class Entitlement:
    """What a token string stands for. `latest`: it is the last one that was handed out; earlier ones stay dead, so they
    read and replay nothing, and `token` is then without the run that they may not read."""

    purchase: Purchase
    token: Token
    latest: bool


def read_entitlement(services: Services, token_text: str) -> Entitlement:
    """The purchase behind a token string and the token's row, whatever their states. TokenInvalid if there is none."""
    read = read_token(services.statements, token_text)
    purchase = services.store.purchase(read[0]) if read else None
    token = services.store.token(read[0]) if read else None
    if read is None or purchase is None or token is None or read[1] > token.generation:
        raise TokenInvalid()
    if bool(purchase.livemode) != services.settings.livemode:
        raise TokenInvalid("This token was paid in Stripe's other mode; it buys nothing here.")
    latest = read[1] == token.generation
    return Entitlement(purchase, token if latest else replace(token, run_id=None), latest)


def check_ready(services: Services, token: Token) -> None:
    """Raises what the state of a token says that is not ready."""
    url = run_url(services, token.run_id) if token.run_id else None
    elsewhere = None if url else ASK_AGAIN
    match token.state:
        case TokenState.HELD:
            raise RunInProgress(run_url=url, next_step=elsewhere)
        case TokenState.SPENT:
            raise TokenConsumed(run_url=url, next_step=elsewhere)
        case TokenState.REFUNDING | TokenState.REFUNDED:
            raise TokenRefunded()
        case TokenState.FROZEN | TokenState.REVOKED:
            raise TokenRevoked()


def check_alive(services: Services, entitlement: Entitlement) -> None:
    """TokenExpired for a string past its expiry or of an earlier generation."""
    if not entitlement.latest or entitlement.token.expires_at <= services.now():
        raise TokenExpired()


def may_read(services: Services, run: Run, *, account_id: str | None, credentials: tuple[str, ...]) -> bool:
    """Whether an account, the token that paid, or a free run's own run token may read this run."""
    if run.account_id is not None and run.account_id == account_id:
        return True
    for text in credentials:
        if run.token_id is not None:
            read = read_token(services.statements, text)
            token = services.store.token(run.token_id)
            if read is not None and token is not None and read == (run.token_id, token.generation):
                return True
        elif services.statements.read(Kind.RUN, text) == raw_id(run.id) + RUN_PADDING:
            return True
    return False


def sign_run_token(services: Services, run_id: str) -> str:
    """What reads one free run that was made without a key."""
    return services.statements.sign(raw_id(run_id) + RUN_PADDING, Kind.RUN)[0]
