"""How the application is served, by the command and inside tests alike."""

import uvicorn

from stripe_stub.app import LocalStripeApp

DRAIN = 2  # seconds that open requests have when the server stops


def server_for(app: LocalStripeApp) -> uvicorn.Server:
    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        lifespan="on",
        ws="none",
        proxy_headers=False,
        timeout_graceful_shutdown=DRAIN,
        timeout_keep_alive=30,
    )
    return uvicorn.Server(config)
