"""A start value with a unit, from the request to the echo in the result."""

from harness import BALL, Gateway, problem


def test_a_start_value_with_a_unit_is_used_and_echoed_as_the_number(gateway: Gateway) -> None:
    plain = {**BALL, "start_values": {"g": 9.75}}
    sums = set()
    for body in (plain, {**BALL, "start_values": {"g": "975 cm/s2"}},
                 {**BALL, "start_values": {"g": {"value": 9750, "unit": "mm/s2"}}}):  # fmt: skip
        answer = gateway.simulate(body, gateway.buy(body).token)
        assert answer.status_code == 200, answer.text
        provenance = answer.json()["provenance"]
        assert provenance["request"]["start_values"] == {"g": 9.75}
        sums.add((provenance["result_sha256"], provenance["request_digest"]))
    assert len(sums) == 1
    defaults = gateway.simulate(BALL, gateway.buy().token).json()["provenance"]
    assert defaults["result_sha256"] not in {result for result, _ in sums}


def test_a_wrong_unit_is_refused_before_any_price_is_named(gateway: Gateway) -> None:
    refused = problem(gateway.simulate({**BALL, "start_values": {"g": "9.81 kg"}}), 422, "invalid_request")
    assert refused["field"] == "start_values.g"
    assert refused["detail"] == "g is in m/s2; kg cannot be converted into that."
    assert gateway.quote({**BALL, "start_values": {"g": "9.81 m/s^2"}})["amount"] == "1.00"
