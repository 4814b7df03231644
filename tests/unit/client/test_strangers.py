"""The SDK and what is no gateway: a page, a proxy, a redirect, an address that is none."""

import httpx
import pytest

from gateway.client import Gateway, RunRequest, UnexpectedAnswer, Unreachable

REQUEST = RunRequest("msl:BouncingBall")


@pytest.mark.parametrize("text", ["<html>", "[1]"])
def test_something_that_is_no_gateway_is_called_that(script, text):
    script.answers.append(httpx.Response(200, text=text))
    with pytest.raises(UnexpectedAnswer):
        script.call("model", "msl:A")


def test_a_missing_field_is_named_not_a_key_error(script):
    script.then(200, {"status": "succeeded"})
    with pytest.raises(UnexpectedAnswer, match="RunResult"):
        script.call("run", REQUEST)


def test_a_redirect_is_not_followed_but_told(script):
    script.answers.append(httpx.Response(308, headers={"location": "https://gateway.test/simulate"}))
    with pytest.raises(UnexpectedAnswer, match=r"https://gateway\.test/simulate"):
        script.call("quote", REQUEST)


def test_a_proxy_without_a_gateway_behind_it_is_unreachable(script):
    script.answers.append(httpx.Response(502, text="<html>Bad Gateway"))
    with pytest.raises(Unreachable):
        script.call("models")


@pytest.mark.parametrize("address", ["localhost:8402", "ftp://gateway.test", "http://", "gateway.test"])
def test_an_address_that_is_none_is_refused_before_anything_is_sent(address):
    with pytest.raises(ValueError, match="address"):
        Gateway(address)
