"""The operator's commands: serve says what is wrong with the settings, doctor finds the rest."""

import contextlib
import ctypes
import re
import shutil
import socket
import sqlite3
import subprocess
import sys

import httpx
import pytest

from gateway.settings import SHIPPED_MODELS

SETTINGS = {
    "PATH": "/usr/bin:/bin",
    "STRIPE_SECRET_KEY": "sk_test_integration",
    "STRIPE_WEBHOOK_SECRET": "whsec_integration",
}


def gateway(*args, folder, preexec_fn=None, **settings):
    return subprocess.run(
        [sys.executable, "-m", "gateway", *args],
        env={**SETTINGS, "FMU_GATEWAY_DB_PATH": str(folder / "test.sqlite3"), **settings},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        preexec_fn=preexec_fn,
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


def test_serve_names_every_model_that_stripe_would_not_charge_for(tmp_path):
    (tmp_path / "prices.toml").write_text('[prices]\n"a:Free" = 0\n"a:B" = "0.49"\n"a:C" = "0.10"\n')
    done = gateway("serve", folder=tmp_path, PRICING_FILE=str(tmp_path / "prices.toml"))
    assert [fault[:29] for fault in refused(done)] == ["PRICING_FILE: a:B is 0.49 usd", "PRICING_FILE: a:C is 0.10 usd"]


def test_serve_refuses_a_live_key_with_a_test_host(tmp_path):
    done = gateway("serve", folder=tmp_path, STRIPE_SECRET_KEY="sk_live_x", STRIPE_API_BASE="http://127.0.0.1:8403")
    assert done.returncode == 2
    assert "STRIPE_API_BASE must not be set with a live Stripe key." in done.stderr


@contextlib.contextmanager
def serving(folder, models):
    """A gateway that is up; its address."""
    port = free_port()
    command = [sys.executable, "-m", "gateway", "serve", "--port", str(port)]
    settings = {"PATH": "/usr/bin:/bin", "STRIPE_ENABLED": "false", "MODELS_DIR": str(models)}
    settings["FMU_GATEWAY_DB_PATH"] = str(folder / "test.sqlite3")
    with subprocess.Popen(command, env=settings, cwd=folder, stderr=subprocess.PIPE, text=True) as process:
        try:
            for line in process.stderr:
                if '"listening"' in line:
                    break
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.communicate(timeout=30)
    assert process.returncode == 0


def refused(done):
    """The sentences of a serve that did not start; the last line is always the same."""
    assert done.returncode == 2
    assert done.stdout == ""
    *faults, last = done.stderr.splitlines()
    assert last.startswith("Nothing was started.")
    return faults


def test_serve_names_the_flag_for_a_port_in_use(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = gateway("serve", "--port", str(port), folder=tmp_path, STRIPE_ENABLED="false")
    assert refused(done) == [f"127.0.0.1:{port}: Address already in use; choose another with --port or --host."]


def test_serve_says_who_owns_the_database(tmp_path, one_model):
    with serving(tmp_path, one_model) as url:
        done = gateway("serve", "--port", str(free_port()), folder=tmp_path, MODELS_DIR=str(one_model))
        [fault] = refused(done)
        assert re.search(r"test\.sqlite3 is in use by the gateway with process id \d+; stop that one first\.$", fault)
        assert httpx.get(f"{url}/ready", trust_env=False).status_code == 200


def test_serve_refuses_the_database_of_a_newer_gateway(tmp_path, one_model):
    with contextlib.closing(sqlite3.connect(tmp_path / "test.sqlite3")) as db:
        db.execute("PRAGMA user_version=99")
    [fault] = refused(gateway("serve", "--port", str(free_port()), folder=tmp_path, MODELS_DIR=str(one_model)))
    assert fault.startswith("The database has schema 99")
    assert fault.endswith("Install a newer gateway.")


def test_serve_refuses_a_file_that_is_no_database_and_leaves_it_alone(tmp_path, one_model):
    file = tmp_path / "test.sqlite3"
    file.write_text("something else " * 100)
    [fault] = refused(gateway("serve", "--port", str(free_port()), folder=tmp_path, MODELS_DIR=str(one_model)))
    assert fault.startswith(f"{file} cannot be used (file is not a database)")
    assert file.read_text() == "something else " * 100


@pytest.mark.parametrize(
    ("name", "value", "fault"),
    [
        ("MODELS_DIR", "/nowhere", "MODELS_DIR: /nowhere is no folder that can be read"),
        ("FMU_GATEWAY_DB_PATH", "/proc/nowhere/db.sqlite3", "/proc cannot be written"),
        ("FMU_GATEWAY_DB_PATH", "/etc/passwd/db.sqlite3", "/etc/passwd cannot be written (Not a directory)"),
        ("FMU_GATEWAY_DB_PATH", "/tmp", "/tmp is no file that can be read and written"),
        ("RESULTS_DIR", "/proc/results", "/proc cannot be written"),
        ("PRICING_FILE", "/nowhere.toml", "PRICING_FILE: /nowhere.toml cannot be read (No such file or directory)."),
    ],
)
def test_serve_names_every_place_it_cannot_use_and_the_setting_for_it(tmp_path, name, value, fault):
    [found] = refused(gateway("serve", "--port", str(free_port()), folder=tmp_path, **{name: value}))
    assert found.startswith(fault)
    assert name in found


def test_serve_names_what_lies_where_it_unpacks_the_models(tmp_path, one_model):
    (tmp_path / "models").write_text("a file")
    [fault] = refused(gateway("serve", "--port", str(free_port()), folder=tmp_path, MODELS_DIR=str(one_model)))
    assert fault.startswith(f"{tmp_path / 'models'}: File exists")


def write_nothing_as_root():
    """In a child before exec: prctl(PR_CAPBSET_DROP, CAP_DAC_OVERRIDE), so that modes count for root, too."""
    ctypes.CDLL(None).prctl(24, 1)


def test_serve_refuses_a_database_that_it_could_only_read(tmp_path):
    (tmp_path / "test.sqlite3").touch(mode=0o400)
    [fault] = refused(gateway("serve", folder=tmp_path, preexec_fn=write_nothing_as_root))
    assert "test.sqlite3 is no file that can be read and written. Set FMU_GATEWAY_DB_PATH" in fault


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
    assert [fault[0] for fault in faults(done)] == ["settings", "stripe", "webhook", "disk", "price", "price"]
    for fix in ("publishable", "whsec_…", "Set RESULTS_DIR", "did you mean msl:VanDerPol?", "at least 0.50 usd"):
        assert fix in done.stdout


def test_doctor_names_all_faults_of_a_live_key_at_once_and_shows_it_to_nobody(tmp_path, one_model):
    (tmp_path / "prices.toml").write_text('[prices]\n"msl:VanDerPol" = "0.10"\n')
    with socket.create_server(("127.0.0.1", 0)) as elsewhere:
        elsewhere.settimeout(0.1)
        done = gateway(
            "doctor",
            folder=tmp_path,
            STRIPE_SECRET_KEY="sk_live_1234",
            STRIPE_WEBHOOK_SECRET="secret",
            STRIPE_API_BASE=f"http://127.0.0.1:{elsewhere.getsockname()[1]}",
            STRIPE_SUCCESS_URL="http://shop.example/",
            STRIPE_SIMULATION_PRICE_CENTS="20",
            DATABASE_URL="postgres://db",
            MAX_BODY_KIB="much",
            TRUSTED_PROXIES="nobody",
            PRICING_FILE=str(tmp_path / "prices.toml"),
            MODELS_DIR=str(one_model),
            RESULTS_DIR="/proc/results",
        )
        with pytest.raises(TimeoutError):
            elsewhere.accept()
    assert done.returncode == 1
    named = ("MAX_BODY_KIB:", "PRICE_CENTS:", "DATABASE_URL:", "TRUSTED_PROXIES:", "GATEWAY_SECRET", "STRIPE_API_BASE",
             "PUBLIC_BASE_URL", "STRIPE_SUCCESS_URL", "STRIPE_WEBHOOK_SECRET", "RESULTS_DIR",
             "PRICING_FILE: msl:VanDerPol")  # fmt: skip
    lines = [line for line in done.stdout.splitlines() if line.startswith("FAULT")]
    assert [name for name in named if sum(name in line for line in lines) != 1] == []
    assert len(lines) == len(named)
    assert "1 run here" in done.stdout


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


def test_doctor_names_a_folder_of_models_that_is_not_there(tmp_path):
    done = gateway("doctor", folder=tmp_path, STRIPE_ENABLED="false", MODELS_DIR=str(tmp_path / "nowhere"))
    assert (done.returncode, faults(done)[0][0]) == (1, "models")
    assert "MODELS_DIR" in done.stdout


def test_doctor_names_a_file_that_is_no_database(tmp_path, one_model):
    (tmp_path / "test.sqlite3").write_text("something else " * 100)
    done = gateway("doctor", folder=tmp_path, STRIPE_ENABLED="false", MODELS_DIR=str(one_model))
    assert [fault[0] for fault in faults(done)] == ["database"]


def test_doctor_says_when_the_books_do_not_balance(tmp_path, one_model):
    from gateway.store.connection import connect, migrate

    db = connect(tmp_path / "test.sqlite3")
    migrate(db)
    db.execute("INSERT INTO balance VALUES ('token:pur_1', 1000000)")
    db.close()
    done = gateway("doctor", folder=tmp_path, STRIPE_ENABLED="false", MODELS_DIR=str(one_model))
    assert (done.returncode, [fault[0] for fault in faults(done)]) == (1, ["database"])
    assert "the books do not balance, ('I1', 'token:pur_1', 1000000)" in done.stdout


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
