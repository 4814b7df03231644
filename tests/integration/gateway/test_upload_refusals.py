"""What cannot be taken as an upload: by whom, how large, how often, and every kind of FMU that does not run."""

import hashlib
import socket
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from harness import PATIENCE, Gateway, House, at_once, change, problem, until
from uploading import bring, described, files_of, fmu, kept, linked, send, zipped

Open = Callable[..., Gateway]
DAY = 24 * 3600


def test_a_form_without_the_file_whole_is_refused(gateway: Gateway) -> None:
    buyer, before = gateway.account(), kept(gateway)
    form = {"content-type": "multipart/form-data; boundary=b"}
    part = b'--b\r\nContent-Disposition: form-data; name="file"; filename="x"\r\n\r\n'
    for raw in (b"", b"nothing", part, part + b"PK", b"--b--\r\n", part.replace(b"file", b"fmu") + b"x\r\n--b--\r\n"):
        problem(send(buyer, raw, **form), 422, "upload_invalid")
    problem(send(buyer, (part + b"x\r\n") * 2 + b"--b--\r\n", **form), 422, "upload_invalid")
    problem(send(buyer, b"x", **{"content-type": "multipart/form-data"}), 422, "upload_invalid")
    problem(send(buyer, b""), 422, "upload_invalid")
    assert kept(gateway) == before


def test_without_a_key_or_while_off_nothing_is_taken(open_gateway: Open) -> None:
    gateway = open_gateway(uploads_enabled=False)
    problem(send(gateway, b"x"), 404, "uploads_disabled")
    problem(send(gateway.account(), b"x"), 404, "uploads_disabled")


def test_an_upload_takes_a_key(gateway: Gateway) -> None:
    before = kept(gateway)
    problem(send(gateway, fmu()), 401, "key_refused")
    problem(send(gateway.another("fmk_wrong"), fmu()), 401, "key_refused")
    assert kept(gateway) == before


def test_without_a_sandbox_nothing_is_taken(open_gateway: Open) -> None:
    gateway = open_gateway()
    gateway.services.runner.missing = ("seccomp: not here",)
    said = problem(send(gateway.account(), fmu()), 501, "sandbox_missing")
    assert "seccomp" in said["detail"]
    assert kept(gateway) == []


@pytest.mark.parametrize("form", [False, True], ids=["raw", "form"])
def test_an_upload_that_is_too_long_is_refused_as_soon_as_it_is(open_gateway: Open, form: bool) -> None:
    gateway = open_gateway(max_upload_mb=1)
    key = gateway.account().key
    body = b'--b\r\nContent-Disposition: form-data; name="file"\r\n\r\n' if form else b""
    body += bytes((1 << 20) + 1)
    kind = b"multipart/form-data; boundary=b" if form else b"application/octet-stream"
    head = b"POST /fmus HTTP/1.1\r\nHost: x\r\nX-API-Key: %b\r\nContent-Type: %b\r\n" % (key.encode(), kind)
    for length in (b"Transfer-Encoding: chunked\r\n\r\n%x\r\n" % len(body), b"Content-Length: 99999999\r\n\r\n"):
        with socket.create_connection(("127.0.0.1", gateway.settings.port), timeout=PATIENCE) as connection:
            connection.sendall(head + length + (b"" if b"Content" in length else body))  # and no end
            assert b" 413 " in connection.recv(1000).split(b"\r\n")[0]
    until(lambda: not kept(gateway), "the incoming file to be gone")


def test_a_connection_that_ends_early_uploads_nothing(gateway: Gateway) -> None:
    buyer, raw = gateway.account(), fmu(tag="lost on its way")
    head = b"POST /fmus HTTP/1.1\r\nHost: x\r\nX-API-Key: %b\r\nContent-Length: %d\r\n\r\n"
    with socket.create_connection(("127.0.0.1", gateway.settings.port), timeout=PATIENCE) as connection:
        connection.sendall(head % (buyer.key.encode(), len(raw) + 1) + raw)
    report = bring(buyer, fmu(tag="behind it"))
    own = [model["fmu_id"] for model in buyer.get("/library?query=lost+way").json()["models"]]
    assert (own, buyer.get(f"/fmus/{report['fmu_id']}").status_code) == ([], 200)


def test_an_account_uploads_so_often_a_day(open_gateway: Open) -> None:
    gateway = open_gateway(uploads_per_day=2)
    buyer = gateway.account()
    for _ in range(2):
        problem(send(buyer, b"x"), 422, "not_an_archive")
    answer = send(buyer, b"x")
    problem(answer, 429, "rate_limited")
    assert 0 < int(answer.headers["retry-after"]) <= DAY
    assert answer.headers["ratelimit-policy"] == '"uploads";q=2;w=86400'
    assert answer.headers["ratelimit"].startswith('"uploads";r=0;t=')
    problem(send(gateway.account(), b"x"), 422, "not_an_archive")


def test_what_an_account_uploaded_today_counts_behind_a_restart_too(house: House) -> None:
    with house.gateway(uploads_per_day=2) as gateway:
        buyer = gateway.account()
        for tag in ("first", "second"):
            bring(buyer, fmu(tag=tag))
        key = buyer.key
    with house.gateway(uploads_per_day=2) as gateway:
        buyer = gateway.another(key)
        answer = send(buyer, fmu(tag="third"))
        problem(answer, 429, "rate_limited")
        assert DAY - 600 < int(answer.headers["retry-after"]) <= DAY
        bring(gateway.account(), fmu(tag="third"))
        change(gateway.settings.database_path, "UPDATE fmu SET uploaded_at = uploaded_at - ?", DAY)
        bring(buyer, fmu(tag="third"))


def test_all_uploads_together_take_so_much_space(open_gateway: Open) -> None:
    gateway = open_gateway(uploads_total_mb=1)
    buyer, taken = gateway.account(), 0
    while (answer := send(buyer, fmu(tag=f"number {taken}"))).status_code == 201:
        taken += 1
    problem(answer, 507, "uploads_full")
    assert taken == len(gateway.rows("SELECT * FROM fmu")) >= 2
    assert len(kept(gateway)) == 3 * taken
    first = gateway.rows("SELECT * FROM fmu ORDER BY uploaded_at")[0]["sha256"]
    assert buyer.http.delete(f"/fmus/{first}").status_code == 204
    bring(buyer, fmu(tag="fits again"))


BAD = {
    "not_an_archive": lambda: b"no zip",
    "no_description": lambda: zipped({"x": b""}),
    "trial_crashed": lambda: fmu("Crashes", startTime="20", stopTime="21"),
    "trial_timeout": lambda: fmu("Hangs", startTime="20", stopTime="21"),
    "trial_memory": lambda: fmu("Hungry", startTime="20", stopTime="21"),
    "trial_failed": lambda: fmu("Fails", startTime="20", stopTime="21"),
    "invalid_fmu": lambda: described(b'causality="output"', b'causality="result"'),
    "missing_libraries": lambda: linked(b"libc.so.6", b"libq.so.6"),
}


@pytest.mark.parametrize("code", BAD)
def test_a_bad_upload_is_refused_leaves_nothing_and_harms_nobody(open_gateway: Open, code: str) -> None:
    gateway = open_gateway(run_memory_mb=64)
    buyer = gateway.account()
    said = problem(send(buyer, BAD[code]()), 422, code)
    if code == "missing_libraries":
        assert said["missing_libraries"] == ["libq.so.6"]
        assert said["platforms"] == ["aarch64-linux", "linux64"]
    assert kept(gateway) == []
    assert gateway.rows("SELECT * FROM fmu") == []
    assert gateway.simulate({"fmu_id": "msl:VanDerPol"}).status_code == 200
    bring(buyer, fmu())


def test_one_trial_at_a_time_and_everybody_gets_one(gateway: Gateway) -> None:
    buyers, before, raw = [gateway.account() for _ in range(3)], kept(gateway), fmu(tag="one at a time")
    answers = at_once(6, lambda i: send(buyers[i % 3], raw))
    assert {a.status_code for a in answers} <= {200, 201, 503}
    sha256 = hashlib.sha256(raw).hexdigest()
    admitted = {
        i % 3 for i, answer in enumerate(answers) if answer.status_code != 503
    }  # the others are told to come again
    assert len(gateway.rows("SELECT * FROM fmu WHERE sha256 = ?", sha256)) == len(admitted) > 0
    assert set(kept(gateway)) - set(before) == {sha256, f"{sha256}.fmu", f"{sha256}.json"}


def test_the_gateway_answers_while_a_trial_hangs(gateway: Gateway) -> None:
    buyer, other = gateway.account(), gateway.another()

    def one(i: int) -> httpx.Response:
        return send(buyer, BAD["trial_timeout"]()) if not i else other.quote() and other.get("/health")

    hung, healthy = at_once(2, one)
    problem(hung, 422, "trial_timeout")
    assert healthy.status_code == 200


def test_nothing_is_unpacked_outside(gateway: Gateway, tmp_path: Path) -> None:
    files = files_of(fmu()) | {f"../../../../../../../..{tmp_path}/escaped": b"x"}
    problem(send(gateway.account(), zipped(files)), 422, "unsafe_path")
    assert not (tmp_path / "escaped").exists()
