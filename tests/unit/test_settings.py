"""Settings refuse what would only break later, in front of a buyer."""

import pytest
from pydantic import ValidationError

from gateway.settings import Settings

KEYS = {"stripe_secret_key": "sk_test_x", "stripe_webhook_secret": "whsec_x"}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("checkout_token_ttl_minutes", 10**11),  # a date beyond the year 9999, after somebody paid
        ("result_retention_days", 10**9),
        ("unspent_refund_days", 10**9),
        ("pending_session_ttl_minutes", 1440),  # the Checkout Session would outlive the 24 hours that Stripe allows
        ("simulation_timeout_seconds", float("inf")),
        ("released_cpu_seconds_per_hour", float("nan")),
        ("keys_per_minute", -1),
        ("checkouts_per_second", -1),
        ("stripe_success_url", "example.com/paid"),  # Stripe refuses every session with it
        ("stripe_cancel_url", "javascript:alert(1)"),
        ("redirect_hosts", "https://example.com"),  # would never match
        ("public_base_url", "https://example.com/gateway"),  # pages and the cookie live at the root
        ("public_base_url", "https://user:word@example.com"),
    ],
)
def test_a_value_that_would_break_in_front_of_a_buyer_is_refused_at_the_start(name: str, value: object) -> None:
    with pytest.raises(ValidationError) as refused:
        Settings(**KEYS, **{name: value})
    assert [fault["loc"] for fault in refused.value.errors()] == [(name,)]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("stripe_success_url", "https://example.com/paid?session={CHECKOUT_SESSION_ID}"),
        ("stripe_cancel_url", "http://127.0.0.1:3000"),
        ("redirect_hosts", "example.com, app.example.com:8443,[::1]:8402"),
        ("public_base_url", "https://example.com:8443/"),
        ("pending_session_ttl_minutes", 24 * 60 - 35),
        ("keys_per_minute", 0),
    ],
)
def test_what_an_operator_would_write_is_taken(name: str, value: object) -> None:
    assert Settings(**KEYS, **{name: value}).faults() == []


@pytest.mark.parametrize("key", ['"sk_live_abc"', "SK_LIVE_abc", "pk_live_abc"])
def test_a_live_key_that_would_pass_for_a_test_key_is_refused(key: str) -> None:
    with pytest.raises(ValueError, match="no live key as it stands"):
        Settings(stripe_secret_key=key, stripe_webhook_secret="whsec_x")


@pytest.mark.parametrize(
    ("settings", "fault"),
    [
        (
            {"stripe_simulation_currency": "usb"},
            "STRIPE_SIMULATION_CURRENCY: .*no currency called 'usb'; it knows aed, .*",
        ),
        ({"stripe_simulation_currency": "us"}, "STRIPE_SIMULATION_CURRENCY: 'us' is no currency code"),
        ({"stripe_simulation_price_cents": 49}, "STRIPE_SIMULATION_PRICE_CENTS: .* 0.49 usd.*at least 0.50 usd"),
        ({"stripe_simulation_currency": "isk", "stripe_simulation_price_cents": 1050}, "in steps of 1.00 isk"),
        ({"stripe_simulation_currency": "KWD", "stripe_simulation_price_cents": 1234}, "in steps of 0.010 kwd"),
        ({"database_url": "sqlite:///:memory:"}, "DATABASE_URL: a database in memory"),
        ({"fmu_gateway_db_path": ":memory:"}, "FMU_GATEWAY_DB_PATH: a database in memory"),
        ({"database_url": "postgresql://localhost/x"}, "DATABASE_URL: postgresql is not supported yet"),
    ],
)
def test_what_stripe_or_sqlite_would_not_take_is_refused_at_the_start(settings: dict[str, object], fault: str) -> None:
    with pytest.raises(ValidationError, match=fault):
        Settings(**KEYS, **settings)


def test_where_nothing_is_sold_no_price_is_too_small() -> None:
    assert Settings(stripe_enabled=False, stripe_simulation_price_cents=1).faults() == []
    assert Settings(**KEYS, stripe_simulation_price_cents=0).faults() == []


def test_a_live_buyer_is_sent_nowhere_without_https() -> None:
    live = {"stripe_secret_key": "sk_live_x", "stripe_webhook_secret": "whsec_x", "gateway_secret": ("s" * 16,)}
    page = {"stripe_success_url": "http://shop.example/paid", "stripe_cancel_url": "http://shop.example/"}
    with pytest.raises(ValidationError) as refused:
        Settings(**live, public_base_url="https://shop.example", **page)
    assert "STRIPE_SUCCESS_URL must be https" in str(refused.value)
    assert "STRIPE_CANCEL_URL must be https" in str(refused.value)
    assert Settings(**KEYS, **page).faults() == []
