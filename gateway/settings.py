"""Settings: read once from the environment, frozen, refused when a combination is unsafe."""

import ipaddress
import os
import re
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from gateway.domain.money import CURRENCIES, Money, charge_fault

SHIPPED_MODELS = Path(__file__).parent / "simulation" / "shipped"

# Stripe lets a Checkout Session live for 24 hours at most, and ours outlives its quote by 31 minutes.
LONGEST_QUOTE_MINUTES = 24 * 60 - 35

# Ten years: whatever is added to a date stays a date, also in the answer to somebody who has just paid.
Minutes = Annotated[int, Field(ge=1, le=3652 * 24 * 60)]
Days = Annotated[int, Field(ge=1, le=3652)]
NotNegative = Annotated[int, Field(ge=0)]


class Settings(BaseSettings):
    """One field per environment variable of the same name in capitals; the README and .env.example list them."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_ignore_empty=True, str_strip_whitespace=True)

    host: str = "127.0.0.1"
    port: int = 8402
    public_base_url: str = ""
    gateway_secret: Annotated[tuple[str, ...], NoDecode] = ()

    stripe_enabled: bool = True
    stripe_secret_key: str = ""
    stripe_webhook_secret: str = ""
    stripe_api_base: str = ""
    stripe_simulation_price_cents: Annotated[int, Field(ge=0, le=99_999_999)] = 100
    stripe_simulation_currency: str = "usd"
    pricing_file: Path | None = None
    pending_session_ttl_minutes: Annotated[int, Field(ge=1, le=LONGEST_QUOTE_MINUTES)] = 60
    checkout_token_ttl_minutes: Minutes = 30
    unspent_refund_days: Days = 30
    stripe_success_url: str = ""
    stripe_cancel_url: str = ""
    redirect_hosts: Annotated[tuple[str, ...], NoDecode] = ()

    uploads_enabled: bool = False
    trusted_proxies: Annotated[tuple[str, ...], NoDecode] = ()
    support_contact: str = ""
    metrics_token: str = ""
    database_url: str = ""
    fmu_gateway_db_path: str = ""
    models_dir: Path = SHIPPED_MODELS
    results_dir: Path | None = None
    result_retention_days: Days = 30

    max_body_kib: Annotated[int, Field(ge=1)] = 1024
    max_upload_mb: Annotated[int, Field(ge=1)] = 64
    uploads_per_day: NotNegative = 10
    uploads_total_mb: NotNegative = 2048
    max_result_rows: Annotated[int, Field(ge=1)] = 1_000_000
    max_result_values: Annotated[int, Field(ge=1)] = 8_000_000
    simulation_timeout_seconds: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 20.0
    run_memory_mb: Annotated[int, Field(ge=64)] = 2048
    parallel_runs: Annotated[int, Field(ge=1)] = os.cpu_count() or 1
    queued_runs: Annotated[int, Field(ge=1)] = 64
    released_cpu_seconds_per_hour: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 120.0
    keys_per_minute: NotNegative = 10
    free_runs_per_minute: NotNegative = 10
    checkouts_per_minute: NotNegative = 10
    checkouts_per_second: NotNegative = 20
    quotes_per_second: NotNegative = 0

    @field_validator("gateway_secret", "redirect_hosts", "trusted_proxies", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @field_validator("public_base_url", "stripe_api_base")
    @classmethod
    def _origin(cls, value: str) -> str:
        if value and not re.fullmatch(r"https?://[^\s/?#@]+/?", value):
            raise ValueError("must be http(s)://host[:port], without user info, path, query or fragment")
        return value.rstrip("/")

    @field_validator("stripe_success_url", "stripe_cancel_url")
    @classmethod
    def _page(cls, value: str) -> str:
        if value and not re.fullmatch(r"https?://[^\s/?#@]+([/?#]\S*)?", value):
            raise ValueError("must be the http(s):// address of a page: Stripe refuses anything else")
        return value

    @field_validator("redirect_hosts")
    @classmethod
    def _hosts(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for host in value:
            if not re.fullmatch(r"[^\s/?#@]+", host):
                raise ValueError(f"{host!r} is no host: write example.com or example.com:8443")
        return value

    @model_validator(mode="after")
    def _safe_combination(self) -> "Settings":
        faults = self.faults()
        if faults:
            raise ValueError("\n".join(faults))
        return self

    def faults(self) -> list[str]:
        """What makes these settings unsafe or useless, one sentence with the fix each."""
        faults = [*filter(None, (self.price_fault(), self.database_fault()))]
        for network in self.trusted_proxies:
            try:
                ipaddress.ip_network(network, strict=False)
            except ValueError:
                faults.append(f"TRUSTED_PROXIES: {network!r} is no IP address or network.")
        if any(len(secret) < 16 for secret in self.gateway_secret):
            faults.append("GATEWAY_SECRET: each secret needs at least 16 characters; `openssl rand -hex 32` makes one.")
        if not self.stripe_enabled:
            return faults
        if not self.stripe_secret_key:
            faults.append("STRIPE_SECRET_KEY is missing: set it, or STRIPE_ENABLED=false to give every run away.")
        if not self.stripe_webhook_secret:
            faults.append("STRIPE_WEBHOOK_SECRET is missing: copy the endpoint's whsec_… from Stripe's dashboard.")
        return faults + self._live_faults()

    def price_fault(self) -> str | None:
        """What is wrong with the default price. Where nothing is sold, only what cannot be shown is."""
        try:
            fault = charge_fault(self.default_price) if self.stripe_enabled else None
        except ValueError as error:
            return f"STRIPE_SIMULATION_CURRENCY: {error}."
        if fault is None:
            return None
        if self.default_price.currency not in CURRENCIES:
            return f"STRIPE_SIMULATION_CURRENCY: {fault}."
        return f"STRIPE_SIMULATION_PRICE_CENTS: the default price is {self.default_price}. {fault}."

    def database_fault(self) -> str | None:
        """What is wrong with where the database is to be, before anybody looks there."""
        if self.database_url and not self.database_url.startswith("sqlite:///"):
            scheme = self.database_url.split(":", 1)[0]
            return f"DATABASE_URL: {scheme} is not supported yet; use sqlite:///path/to/file."
        if (self.database_url.removeprefix("sqlite:///") or self.fmu_gateway_db_path) == ":memory:":
            name = "DATABASE_URL" if self.database_url else "FMU_GATEWAY_DB_PATH"
            return f"{name}: a database in memory would lose all money at a restart; name a file."
        return None

    def _live_faults(self) -> list[str]:
        faults = []
        if not self.livemode:
            if "live" in self.stripe_secret_key.lower():  # in quotes, or misspelt: it would pass for a test key
                faults.append("STRIPE_SECRET_KEY is no live key as it stands: sk_live_… or rk_live_…, without quotes.")
            return faults
        if not self.gateway_secret:
            faults.append("GATEWAY_SECRET is required with a live Stripe key: `openssl rand -hex 32` makes one.")
        if self.stripe_api_base:
            faults.append("STRIPE_API_BASE must not be set with a live Stripe key.")
        if not self.base_url.startswith("https://"):
            faults.append("PUBLIC_BASE_URL must be https:// with a live Stripe key.")
        pages = {"STRIPE_SUCCESS_URL": self.stripe_success_url, "STRIPE_CANCEL_URL": self.stripe_cancel_url}
        plain = [name for name, url in pages.items() if url.startswith("http:")]
        faults += [f"{name} must be https:// with a live Stripe key." for name in plain]
        return faults

    @cached_property
    def base_url(self) -> str:
        return self.public_base_url or f"http://127.0.0.1:{self.port}"

    @property
    def own_host(self) -> str:
        return urlsplit(self.base_url).netloc

    @cached_property
    def livemode(self) -> bool:
        """Whether the key is a live one (sk_live_… or the restricted rk_live_…)."""
        return self.stripe_secret_key.startswith(("sk_live_", "rk_live_"))

    @property
    def default_price(self) -> Money:
        return Money.from_minor(self.stripe_simulation_price_cents, self.stripe_simulation_currency.lower())

    @property
    def database_path(self) -> Path:
        """URL, then path, then the volume, then a file here."""
        if self.database_url:
            return Path(self.database_url.removeprefix("sqlite:///"))
        if self.fmu_gateway_db_path:
            return Path(self.fmu_gateway_db_path)
        volume = Path("/data")
        if os.path.ismount(volume) and os.access(volume, os.W_OK):
            return volume / "fmu_gateway.sqlite3"
        return Path("local.db")

    @property
    def results_path(self) -> Path:
        return self.results_dir or self.database_path.absolute().parent / "results"
