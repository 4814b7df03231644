"""A gateway whose database is on a volume of its own: a mount that nobody outside of its mount namespace sees."""

import os
import subprocess
import sys
from pathlib import Path

from harness import SECRET, WEBHOOK_SECRET, Buyer, free_port, until
from served import ROOT

from stripe_stub.testing import LocalStripe

SIZE = "24m"  # the models take about a tenth of it
TMPFS = 'mount -t tmpfs -o size="$SIZE" tmpfs "$VOLUME" && exec "$@"'
AS_USER = ("--user", "--map-root-user")  # needs no root where users may have namespaces
CHECK = """import pathlib, sys
from gateway.store.store import violations
print(violations(pathlib.Path(sys.argv[1])))"""


def can_mount() -> bool:
    command = ["unshare", *AS_USER, "--mount", "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


class OnItsVolume(Buyer):
    """`python -m gateway serve` whose database and results are on a volume of their own, which `mount` mounts: shell
    that ends in executing "$@". `namespaces` are options of unshare beside --mount."""

    def __init__(
        self,
        folder: Path,
        models: Path,
        stripe: LocalStripe,
        mount: str = TMPFS,
        namespaces: tuple[str, ...] = AS_USER,
        port: int | None = None,
        **environment: str,
    ):
        self.port = port or free_port()
        super().__init__(f"http://127.0.0.1:{self.port}", stripe)
        self.volume, self.models, self._namespaces = folder / "volume", models, namespaces
        self.volume.mkdir(exist_ok=True)
        self.database = self.volume / "gateway.sqlite3"
        environment |= {
            "PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "SIZE": SIZE, "VOLUME": str(self.volume),
            "GATEWAY_SECRET": SECRET, "STRIPE_SECRET_KEY": "sk_test_volume", "STRIPE_API_BASE": stripe.url,
            "STRIPE_WEBHOOK_SECRET": WEBHOOK_SECRET, "FMU_GATEWAY_DB_PATH": str(self.database),
            "MODELS_DIR": str(models), "CHECKOUTS_PER_MINUTE": "0", "CHECKOUTS_PER_SECOND": "0",
        }  # fmt: skip
        command = ["unshare", *namespaces, "--mount", "sh", "-c", mount, "sh"]
        command += [sys.executable, "-m", "gateway", "serve", "--port", str(self.port)]
        self.log = folder / "log"
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log)
        stripe.set_webhook_url(f"{self.url}/webhooks/stripe", WEBHOOK_SECRET)
        until(lambda: self.process.poll() is not None or self._answers(), "the gateway")
        assert self.process.poll() is None, self.log.read_text()

    def _answers(self) -> bool:
        try:
            return self.http.get("/health").status_code == 200
        except Exception:
            return False

    def inside(self, *command: str) -> str:
        """What a command says that sees the volume."""
        user = ["--user", "--preserve-credentials"] if self._namespaces else []
        enter = ["nsenter", f"--target={self.process.pid}", *user, "--mount"]
        done = subprocess.run([*enter, *command], capture_output=True, text=True, check=False, cwd=ROOT)
        return done.stdout + done.stderr

    def alarms(self) -> str:
        answer = self.http.get("/ready")
        said = str(answer.json()["checks"]["alarms"]["detail"])
        assert answer.status_code == (503 if "failed writes" in said else 200)
        return said

    def violations(self) -> str:
        return self.inside(sys.executable, "-c", CHECK, str(self.database)).strip()

    def fill(self) -> None:
        """To the last byte: also the rest of the page in which the log ends, should it be here."""
        said = self.inside("dd", "if=/dev/zero", f"of={self.volume}/filler", "bs=4096")
        assert "No space left" in said, said
        self.inside("sh", "-c", f"while echo >> {self.volume}/log; do :; done")

    def close(self) -> None:
        self.http.close()
        self.process.terminate()
        try:
            assert self.process.wait(30) == 0, self.log.read_text()[-2000:]
        finally:
            self.process.kill()
