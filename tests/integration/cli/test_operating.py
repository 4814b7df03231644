"""The operator's commands: serve says what is wrong with the settings, doctor finds the rest."""

import re
import shutil
import socket
import sqlite3
import subprocess
import sys

import pytest

from gateway.settings import SHIPPED_MODELS

SETTINGS = {
    "PATH": "/usr/bin:/bin",
    "STRIPE_SECRET_KEY": "sk_test_integration",
    "STRIPE_WEBHOOK_SECRET": "whsec_integration",
}


def gateway(*args, folder, **settings):
    return subprocess.run(
        [sys.executable, "-m", "gateway", *args],
        env={**SETTINGS, "FMU_GATEWAY_DB_PATH": str(folder / "test.sqlite3"), **settings},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture(scope="module")
def one_model(tmp_path_factory):
    """A folder with one good model: the doctor runs all there are."""
    folder = tmp_path_factory.mktemp("models")
    (folder / "msl").mkdir()
    shutil.copy(SHIPPED_MODELS / "msl" / "VanDerPol.fmu", folder / "msl")
    return folder


def faults(done):
    return [line.split()[1:] for line in done.stdout.splitlines() if line.startswith("FAULT")]


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def test_serve_names_every_missing_setting_with_its_fix_and_exits_2(tmp_path):
    done = gateway("serve", folder=tmp_path, STRIPE_SECRET_KEY="", STRIPE_WEBHOOK_SECRET="")
    assert done.returncode == 2
    assert "STRIPE_SECRET_KEY is missing: set it" in done.stderr
    assert "STRIPE_WEBHOOK_SECRET is missing: copy" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_serve_names_the_variable_of_a_value_that_is_none(tmp_path):
    done = gateway("serve", folder=tmp_path, MAX_BODY_KIB="much", PENDING_SESSION_TTL_MINUTES="0")
    assert done.returncode == 2
    assert re.search(r"^MAX_BODY_KIB: .*integer", done.stderr, re.M)
    assert re.search(r"^PENDING_SESSION_TTL_MINUTES: ", done.stderr, re.M)


def test_serve_names_what_is_wrong_in_the_price_file(tmp_path):
    (tmp_path / "prices.toml").write_text('[prices]\n"msl:VanDerPol" = "cheap"\n')
    done = gateway("serve", folder=tmp_path, PRICING_FILE=str(tmp_path / "prices.toml"))
    assert done.returncode == 2
    assert "PRICING_FILE: msl:VanDerPol: 'cheap' is not a decimal number." in done.stderr


def test_serve_refuses_a_live_key_with_a_test_host(tmp_path):
    done = gateway("serve", folder=tmp_path, STRIPE_SECRET_KEY="sk_live_x", STRIPE_API_BASE="http://127.0.0.1:8403")
    assert done.returncode == 2
    assert "STRIPE_API_BASE must not be set with a live Stripe key." in done.stderr


def test_serve_names_the_flag_for_a_port_in_use(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = gateway("serve", "--port", str(taken.getsockname()[1]), folder=tmp_path, STRIPE_ENABLED="false")
    assert done.returncode == 1
    assert "--port" in done.stderr


def test_doctor_finds_nothing_wrong_with_good_settings(tmp_path, one_model):
    done = gateway("doctor", folder=tmp_path, STRIPE_ENABLED="false", MODELS_DIR=str(one_model))
    assert (done.returncode, faults(done)) == (0, [])
    assert "1 run here: msl:VanDerPol" in done.stdout


def test_doctor_prints_one_line_with_the_fix_for_each_fault(tmp_path, one_model):
    (tmp_path / "prices.toml").write_text('[prices]\n"msl:VanDerPool" = "2"\n"msl:VanDerPol" = "0.10"\n')
    done = gateway(
        "doctor",
        folder=tmp_path,
        STRIPE_SECRET_KEY="pk_test_1234",
        STRIPE_WEBHOOK_SECRET="secret",
        STRIPE_SIMULATION_PRICE_CENTS="20",
        PRICING_FILE=str(tmp_path / "prices.toml"),
        MODELS_DIR=str(one_model),
        RESULTS_DIR="/proc/results",
    )
    assert done.returncode == 1
    assert [fault[0] for fault in faults(done)] == ["stripe", "webhook", "disk", "price", "price", "price"]
    for fix in ("publishable", "whsec_…", "Set RESULTS_DIR", "did you mean msl:VanDerPol?", "at least 0.50 usd"):
        assert fix in done.stdout


def test_doctor_goes_on_when_stripes_settings_are_missing(tmp_path, one_model):
    done = gateway("doctor", folder=tmp_path, STRIPE_SECRET_KEY="", MODELS_DIR=str(one_model))
    assert done.returncode == 1
    assert [fault[0] for fault in faults(done)] == ["settings"]
    assert "1 run here" in done.stdout


def test_doctor_names_the_model_that_does_not_run(tmp_path, one_model):
    models = shutil.copytree(one_model, tmp_path / "models")
    (models / "msl" / "Broken.fmu").write_bytes(b"not even a zip file")
    done = gateway("doctor", folder=tmp_path, STRIPE_ENABLED="false", MODELS_DIR=str(models))
    assert done.returncode == 1
    assert "msl/Broken.fmu is not listed" in done.stdout
    assert "1 run here: msl:VanDerPol" in done.stdout


def test_doctor_names_a_file_that_is_no_database(tmp_path, one_model):
    (tmp_path / "test.sqlite3").write_text("something else " * 100)
    done = gateway("doctor", folder=tmp_path, STRIPE_ENABLED="false", MODELS_DIR=str(one_model))
    assert [fault[0] for fault in faults(done)] == ["database"]


def test_doctor_names_a_database_of_a_newer_gateway(tmp_path, one_model):
    from gateway.store.connection import connect, migrate

    path = tmp_path / "test.sqlite3"
    db = connect(path)
    migrate(db)
    db.close()
    done = gateway("doctor", folder=tmp_path, STRIPE_ENABLED="false", MODELS_DIR=str(one_model))
    assert "the books balance" in done.stdout
    with sqlite3.connect(path) as newer:
        newer.execute("PRAGMA user_version=99")
    newer.close()
    done = gateway("doctor", folder=tmp_path, STRIPE_ENABLED="false", MODELS_DIR=str(one_model))
    assert [fault[0] for fault in faults(done)] == ["database"]
    assert "install a newer one" in done.stdout
