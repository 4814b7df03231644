"""Where a live buyer's browser may be sent: only over https, also to our own host."""

import pytest

from gateway.errors import InvalidRequest
from gateway.settings import Settings
from gateway.web.pay import _check_redirect

LIVE = Settings(
    stripe_secret_key="sk_live_x",
    stripe_webhook_secret="whsec_x",
    gateway_secret=("s" * 16,),
    public_base_url="https://shop.example",
    redirect_hosts=("app.example",),
)


@pytest.mark.parametrize("url", ["https://shop.example/mine", "https://app.example/", "https://SHOP.example/?a=b"])
def test_a_page_of_a_named_host_is_taken(url: str) -> None:
    _check_redirect(url, "success_url", LIVE)


@pytest.mark.parametrize(
    "url", ["http://shop.example/mine", "http://app.example/", "HTTP://shop.example/", "//shop.example"]
)
def test_a_live_buyer_is_never_sent_anywhere_without_https(url: str) -> None:
    with pytest.raises(InvalidRequest, match="must begin with https") as refused:
        _check_redirect(url, "success_url", LIVE)
    assert refused.value.fields["field"] == "success_url"
