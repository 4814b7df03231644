"""The demo: one command from nothing to a paid result, and nothing left behind."""

import re
import shlex
import signal
import socket
import subprocess
import sys
import time

import httpx
import pytest


def free_ports():
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as other:
        return one.getsockname()[1], other.getsockname()[1]


def demo(folder, port, stub_port, *args):
    """A demo on a machine of which it knows nothing, and whose environment would ruin it if it looked."""
    return subprocess.Popen(
        [sys.executable, "-m", "gateway", "demo", "--port", str(port), "--stub-port", str(stub_port), *args],
        env={
            "PATH": "/usr/bin:/bin",
            "HOME": str(folder),
            "TMPDIR": str(folder),
            "STRIPE_SECRET_KEY": "sk_live_never",
            "HTTP_PROXY": "http://127.0.0.1:9",
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def listening(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_the_whole_loop_once(tmp_path):
    port, stub_port = free_ports()
    running = demo(tmp_path, port, stub_port, "--once")
    out, err = running.communicate(timeout=120)
    assert (running.returncode, err) == (0, "")
    for shown in ("HTTP 402", "checkout_url", "session_id", '"amount": "1.00"', "methods", "next_step"):
        assert shown in out
    for shown in ('"outcome": "paid"', '"payment_token": "fmt_', "HTTP 200", "3.0 s, exactly as asked", "receipt_url"):
        assert shown in out
    assert "nothing was charged" in out  # the free model
    assert "sk_" not in out
    assert "\x1b" not in out
    assert not listening(port)
    assert not listening(stub_port)
    assert list(tmp_path.glob("fmu-gateway-demo-*")) == []


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 0), (signal.SIGTERM, 143), (signal.SIGKILL, -9)])
def test_it_serves_until_it_is_stopped_and_leaves_no_process(tmp_path, number, code):
    port, stub_port = free_ports()
    running = demo(tmp_path, port, stub_port)
    lines = iter(running.stdout.readline, "")
    shown = ""
    for line in lines:
        shown += line
        if line.startswith("Ctrl-C"):
            break
    data = [file for file in tmp_path.glob("fmu-gateway-demo-*/*") if file.is_file()]
    assert [file.name for file in data if file.stat().st_mode & 0o077] == []  # others may pass the folder
    assert httpx.get(f"http://127.0.0.1:{port}/", trust_env=False).status_code == 200
    assert httpx.get(f"http://127.0.0.1:{stub_port}/", trust_env=False).status_code == 200
    pasted = re.search(r"curl -s \S+/simulate -H .*?(?=\nHTTP)", shown, re.DOTALL).group()
    *_, body = shlex.split(pasted.replace("\\\n", " "))
    assert httpx.post(f"http://127.0.0.1:{port}/simulate", content=body, trust_env=False).status_code == 402
    running.send_signal(number)
    assert running.wait(30) == code
    running.communicate()
    for _ in range(200):
        if not listening(port) and not listening(stub_port):
            return
        time.sleep(0.05)
    pytest.fail("a child outlived the demo")


@pytest.mark.parametrize("flag", ["--port", "--stub-port"])
def test_a_port_in_use_is_named_with_its_flag(tmp_path, flag):
    port, stub_port = free_ports()
    with socket.create_server(("127.0.0.1", port if flag == "--port" else stub_port)):
        running = demo(tmp_path, port, stub_port, "--once")
        _, err = running.communicate(timeout=60)
    assert running.returncode == 1
    assert err.rstrip().endswith(f"choose another with {flag}")
