"""An account's own FMU: taken in only after it ran, seen by nobody else, sold like any other, gone on request."""

import hashlib
import shutil
from collections.abc import Callable
from typing import Any

import pytest
from harness import Gateway, House, at_once, change, problem
from uploading import TAG, bring, described, fmu, kept, send

from gateway.settings import SHIPPED_MODELS

Open = Callable[..., Gateway]
SEVEN_DAYS = 7 * 24 * 3600


def test_an_upload_is_reported_listed_quoted_paid_run_and_read_again(gateway: Gateway) -> None:
    buyer, raw = gateway.account(), fmu()
    report = bring(buyer, raw)
    sha256 = hashlib.sha256(raw).hexdigest()
    assert (report["fmu_id"], report["sha256"], report["description"]) == (sha256, sha256, TAG)
    assert report["platforms"] == ["aarch64-linux", "linux64"]
    assert report["missing_libraries"] == []
    assert report["warnings"] == []
    assert report["fmi_types"]
    assert (report["price"], report["currency"]) == ("1.00", "usd")
    assert 0 < report["trial_seconds"] < 2
    assert buyer.get(f"/fmus/{sha256}").json() == report
    assert buyer.get("/library").json()["models"][-1]["fmu_id"] == sha256
    assert [m["fmu_id"] for m in buyer.get("/library?query=known+to+one").json()["models"]] == [sha256]
    variables = buyer.get(f"/fmus/{sha256}/variables").json()["variables"]
    assert len(variables) == sum(report["variable_counts"].values())
    request = {"fmu_id": sha256}
    bought = buyer.buy(request)
    result = buyer.simulate(request, bought.token)
    assert result.status_code == 200, result.text
    assert result.json()["provenance"]["fmu_sha256"] == sha256
    original = {"fmu_id": "msl:DCMotor"}
    assert result.json()["data"] == gateway.simulate(original, gateway.buy(original).token).json()["data"]
    assert buyer.get(result.json()["links"]["csv"]).status_code == 200


def test_the_same_file_again_is_answered_without_a_second_trial(gateway: Gateway) -> None:
    buyer, raw = gateway.account(), fmu()
    report = bring(buyer, raw)
    again = send(buyer, raw)
    assert (again.status_code, again.json()) == (
        200,
        report,
    )  # trial_seconds too: another trial would take another time
    assert [m["fmu_id"] for m in buyer.get("/library?query=known").json()["models"]] == [report["fmu_id"]]


@pytest.mark.parametrize("extra", [{}, {"note": (None, "x" * 5000)}], ids=["alone", "beside other fields"])
def test_a_form_and_a_raw_body_are_the_same_upload(gateway: Gateway, extra: dict[str, Any]) -> None:
    buyer, raw = gateway.account(), fmu()
    answer = buyer.http.post("/fmus", files={**extra, "file": ("Motor.fmu", raw)})
    assert answer.status_code == 201, answer.text
    assert answer.json()["fmu_id"] == hashlib.sha256(raw).hexdigest()
    assert send(buyer, raw).status_code == 200


FORMAL_FAULTS = {
    "color": (b'causality="output"', b'causality="output" color="red"'),
    "Outputs": (b'<Unknown index="4"/>', b""),
    "is not defined": (b'unit="A"', b'unit="Ampere"'),
}


@pytest.mark.parametrize("word", FORMAL_FAULTS)
def test_a_formal_fault_that_changes_no_number_is_told_and_the_model_runs(gateway: Gateway, word: str) -> None:
    buyer = gateway.account()
    report = bring(buyer, described(*FORMAL_FAULTS[word]))
    assert any(word in warning for warning in report["warnings"]), report["warnings"]
    request = {"fmu_id": report["fmu_id"]}
    ours, original = buyer.simulate(request, buyer.buy(request).token), {"fmu_id": "msl:DCMotor"}
    assert ours.json()["data"] == gateway.simulate(original, gateway.buy(original).token).json()["data"]
    page = buyer.get(f"/fmus/{report['fmu_id']}", headers={"accept": "text/html"}).text
    assert "It ran, although" in page
    assert word in page


def test_a_browser_gets_the_report_as_a_page(gateway: Gateway) -> None:
    buyer, raw = gateway.account(), fmu(tag="&lt;b&gt;bold&lt;/b&gt;")
    page = send(buyer, raw, accept="text/html")
    assert page.status_code == 201
    assert page.headers["content-type"].startswith("text/html")
    assert "&lt;b&gt;bold" in page.text
    assert "1.00 usd" in page.text
    again = buyer.get(f"/fmus/{hashlib.sha256(raw).hexdigest()}", headers={"accept": "text/html"})
    assert again.text == page.text


def test_without_a_sandbox_an_upload_is_neither_quoted_nor_paid_nor_run_and_its_money_stays(open_gateway: Open) -> None:
    gateway = open_gateway()
    buyer, runner = gateway.account(), gateway.services.runner
    request = {"fmu_id": bring(buyer, fmu())["fmu_id"]}
    bought, quote, whole = buyer.buy(request), buyer.quote(request), runner.missing
    runner.missing = ("landlock: not here",)
    for more in ({}, {"quote_only": True}, {"max_price": "0.01"}, {"payment_token": bought.token}):
        said = problem(buyer.simulate({**request, **more}), 501, "sandbox_missing")
        assert "landlock" in said["detail"]
    problem(buyer.http.post("/pay", json=request), 501, "sandbox_missing")
    problem(buyer.http.post("/pay", json={"session_id": quote["session_id"]}), 501, "sandbox_missing")
    problem(buyer.get(quote["checkout_url"]), 501, "sandbox_missing")
    assert gateway.token_state(bought) == "ready"
    assert gateway.simulate({"fmu_id": "msl:VanDerPol"}).status_code == 200  # the operator's own
    assert buyer.get(f"/fmus/{request['fmu_id']}").status_code == 200
    runner.missing = whole
    assert buyer.simulate(request, bought.token).status_code == 200


def test_a_file_of_the_library_runs_without_a_sandbox_as_somebodys_own(open_gateway: Open) -> None:
    gateway = open_gateway()
    buyer = gateway.account()
    request = {"fmu_id": bring(buyer, (SHIPPED_MODELS / "msl" / "DCMotor.fmu").read_bytes())["fmu_id"]}
    gateway.services.runner.missing = ("landlock: not here",)
    assert buyer.simulate(request, buyer.buy(request).token).status_code == 200


def test_nobody_else_learns_that_an_upload_exists(gateway: Gateway) -> None:
    owner, raw = gateway.account(), fmu()
    sha256 = bring(owner, raw)["fmu_id"]
    request = {"fmu_id": sha256}
    bought, quote = owner.buy(request), owner.quote(request)
    strangers = {"no key": gateway.another(), "another account": gateway.account()}
    unknown = {"fmu_id": "0" * 64}
    for stranger in strangers.values():
        for path in ("", "/variables", "/inputs.csv"):
            problem(stranger.get(f"/fmus/{sha256}{path}"), 404, "model_not_found")
        assert sha256 not in stranger.get("/library").text
        assert stranger.get("/library", params={"query": TAG}).json() == {"models": []}
        for more in (
            {},
            {"quote_only": True},
            {"max_price": "0.01"},
            {"stop_time": -1},
            {"payment_token": bought.token},
        ):
            said = problem(stranger.simulate({**request, **more}), 404, "model_not_found")
            same = problem(stranger.simulate({**unknown, **more}), 404, "model_not_found")
            assert str(said).replace(sha256, "0" * 64) == str(same)
        problem(stranger.http.post("/pay", json=request), 404, "model_not_found")
        problem(stranger.http.post("/pay", json={"session_id": quote["session_id"]}), 404, "purchase_not_found")
        problem(stranger.status(bought.session_id), 404, "purchase_not_found")
    problem(strangers["another account"].http.delete(f"/fmus/{sha256}"), 404, "model_not_found")
    problem(strangers["no key"].http.delete(f"/fmus/{sha256}"), 401, "key_refused")
    assert TAG not in gateway.get("/").text
    assert owner.simulate(request, bought.token).status_code == 200


def test_whoever_has_the_link_may_pay_for_the_owner(gateway: Gateway) -> None:
    owner, friend = gateway.account(), gateway.another()
    sha256 = bring(owner, fmu())["fmu_id"]
    quote = owner.quote({"fmu_id": sha256})
    assert gateway.stripe.pay(friend.open(quote))["outcome"] == "paid"
    assert owner.simulate({"fmu_id": sha256}, owner.collect(quote["session_id"])).status_code == 200


def test_two_accounts_may_bring_the_same_file_and_one_may_go(gateway: Gateway) -> None:
    first, second, raw = gateway.account(), gateway.account(), fmu()
    sha256 = bring(first, raw)["fmu_id"]
    assert bring(second, raw)["fmu_id"] == sha256
    assert first.http.delete(f"/fmus/{sha256}").status_code == 204
    problem(first.get(f"/fmus/{sha256}"), 404, "model_not_found")
    bought = second.buy({"fmu_id": sha256})
    assert second.simulate({"fmu_id": sha256}, bought.token).status_code == 200


def test_a_file_that_is_for_sale_here_costs_the_same_as_an_upload(gateway: Gateway) -> None:
    buyer, raw = gateway.account(), (SHIPPED_MODELS / "msl" / "DCMotor.fmu").read_bytes()
    assert bring(buyer, raw)["price"] == "2.50"
    sha256 = hashlib.sha256(raw).hexdigest()
    assert buyer.http.delete(f"/fmus/{sha256}").status_code == 204
    bought = gateway.buy({"fmu_id": "msl:DCMotor"})
    assert gateway.simulate({"fmu_id": "msl:DCMotor"}, bought.token).status_code == 200


def test_a_price_by_sha256_counts(house: House) -> None:
    raw = fmu()
    (house.folder / "prices.toml").write_text(f'[prices]\n"{hashlib.sha256(raw).hexdigest()}" = "7"\n')
    with house.gateway() as gateway:
        assert bring(gateway.account(), raw)["price"] == "7.00"


def test_what_is_taken_back_is_gone_and_its_money_goes_back(gateway: Gateway) -> None:
    buyer, before = gateway.account(), kept(gateway)
    sha256 = bring(buyer, fmu(tag="taken back"))["fmu_id"]
    request = {"fmu_id": sha256}
    run = buyer.simulate(request, buyer.buy(request).token).json()
    bought, quote = buyer.buy(request), buyer.quote(request)
    assert buyer.http.delete(f"/fmus/{sha256}").status_code == 204
    assert kept(gateway) == before
    problem(buyer.get(f"/fmus/{sha256}"), 404, "model_not_found")
    problem(buyer.simulate(request), 404, "model_not_found")
    problem(buyer.get(quote["checkout_url"]), 404, "model_not_found")
    problem(buyer.http.delete(f"/fmus/{sha256}"), 404, "model_not_found")
    problem(buyer.simulate(request, bought.token), 410, "model_withdrawn")
    gateway.reconcile()
    problem(buyer.simulate(request, bought.token), 410, "token_refunded")
    paid = gateway.rows("SELECT payment_intent_id FROM purchase WHERE id = ?", buyer.purchase_id(bought))[0]
    refunds = [r for r in gateway.stripe.objects("refund") if r["payment_intent"] == paid["payment_intent_id"]]
    assert [r["amount"] for r in refunds] == [100]
    assert buyer.get(f"/runs/{run['run_id']}").status_code == 200
    bring(buyer, fmu(tag="taken back"))  # may come again


def test_a_model_of_the_library_cannot_be_taken_back(gateway: Gateway) -> None:
    problem(gateway.account().http.delete("/fmus/msl:DCMotor"), 404, "model_not_found")
    assert gateway.get("/fmus/msl:DCMotor").status_code == 200


def test_what_nobody_paid_to_run_leaves_after_seven_days(open_gateway: Open) -> None:
    gateway = open_gateway()
    buyer = gateway.account()
    paid, open_, unpaid = (bring(buyer, fmu(tag=tag))["fmu_id"] for tag in ("paid", "open", "unpaid"))
    bought = buyer.buy({"fmu_id": paid})
    buyer.open(buyer.quote({"fmu_id": open_}))
    for seconds, status in ((SEVEN_DAYS - 600, 200), (601, 404)):
        change(gateway.settings.database_path, "UPDATE fmu SET uploaded_at = uploaded_at - ?", seconds)
        gateway.reconcile()
        assert buyer.get(f"/fmus/{unpaid}").status_code == status
    assert {name.split(".")[0] for name in kept(gateway)} == {paid, open_}
    assert buyer.get(f"/fmus/{open_}").status_code == 200
    assert buyer.simulate({"fmu_id": paid}, bought.token).status_code == 200


def test_uploads_survive_a_restart_and_so_do_their_tokens(house: House) -> None:
    with house.gateway() as gateway:
        buyer = gateway.account()
        report = bring(buyer, fmu())
        bought, key = buyer.buy({"fmu_id": report["fmu_id"]}), buyer.key
    (house.folder / "uploads" / "0123.fmu").write_bytes(b"what a crash left")
    (house.folder / "uploads" / "incoming" / "x.fmu").write_bytes(b"what a crash left")
    with house.gateway(uploads_enabled=False) as gateway:  # also where no more are taken
        buyer = gateway.another(key)
        gateway.reconcile()
        assert buyer.get(f"/fmus/{report['fmu_id']}").json() == report
        assert buyer.simulate({"fmu_id": report["fmu_id"]}, bought.token).status_code == 200
        problem(send(buyer, fmu()), 404, "uploads_disabled")
        assert {name.split(".")[0] for name in kept(gateway)} == {report["fmu_id"]}


def test_what_was_unpacked_is_made_again_and_a_lost_file_gives_the_money_back(house: House) -> None:
    with house.gateway() as gateway:
        buyer = gateway.account()
        here, lost = (bring(buyer, fmu(tag=tag))["fmu_id"] for tag in ("here", "lost"))
        bought, key = buyer.buy({"fmu_id": lost}), buyer.key
    folder = house.folder / "uploads"
    for path in [*folder.glob(f"{lost}*"), folder / f"{here}.json", folder / here]:
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    with house.gateway() as gateway:
        buyer = gateway.another(key)
        gateway.reconcile()
        assert buyer.simulate({"fmu_id": here}, buyer.buy({"fmu_id": here}).token).status_code == 200
        problem(buyer.simulate({"fmu_id": lost}, bought.token), 410, "model_withdrawn")


def test_several_accounts_of_one_file_may_ask_for_it_at_once_where_it_must_be_made_again(house: House) -> None:
    raw = fmu()
    sha256, keys = hashlib.sha256(raw).hexdigest(), []
    with house.gateway() as gateway:
        for buyer in [gateway.account() for _ in range(8)]:
            assert bring(buyer, raw)["fmu_id"] == sha256
            keys.append(buyer.key)
    folder = house.folder / "uploads"
    shutil.rmtree(folder / sha256)
    (folder / f"{sha256}.json").unlink()
    with house.gateway() as gateway:
        buyers = [gateway.another(key) for key in keys]
        answers = at_once(len(buyers), lambda i: buyers[i].get(f"/fmus/{sha256}"))
        assert [answer.status_code for answer in answers] == [200] * len(buyers)
        assert kept(gateway) == sorted([sha256, f"{sha256}.fmu", f"{sha256}.json"])


def test_the_landing_page_says_how_where_uploads_are_taken(gateway: Gateway, open_gateway: Open) -> None:
    assert "-F file=@Model.fmu" in gateway.get("/").text.replace("&#39;", "'")
    assert "file=@Model.fmu" not in open_gateway(uploads_enabled=False).get("/").text
