"""`python -m stripe_stub --port P --webhook-url URL --webhook-secret whsec_…`: the local Stripe, on 127.0.0.1 only."""

import argparse
import secrets
import socket
import sys
from pathlib import Path


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="stripe_stub", description="A local Stripe. Not real: no money moves.")
    parser.add_argument("--port", type=int, default=8403, help="0 picks a free one (default: %(default)s)")
    parser.add_argument("--host", choices=["127.0.0.1"], default="127.0.0.1", help="it is for this machine only")
    parser.add_argument("--webhook-url", help="where events go; more endpoints through the API")
    parser.add_argument("--webhook-secret", help="whsec_… that signs them (default: a new one, printed)")
    parser.add_argument("--state", type=Path, help="keep everything in this file, across restarts")
    parser.add_argument("--seed", type=int, help="the same seed makes the same ids")
    args = parser.parse_args(argv)
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((args.host, args.port))
    except OSError as error:
        print(f"stripe_stub: cannot listen on {args.host}:{args.port}: {error.strerror}", file=sys.stderr)
        return 1
    listener.listen(
        2048
    )  # before anything heavy is imported: whoever connects now waits a moment instead of being refused
    base_url = f"http://{args.host}:{listener.getsockname()[1]}"
    print(f"local Stripe on {base_url}", flush=True)

    from stripe_stub.app import LocalStripeApp, Options
    from stripe_stub.serving import server_for

    secret = args.webhook_secret or f"whsec_{secrets.token_hex(16)}"
    if args.webhook_url:
        print(f"webhooks to {args.webhook_url}, signed with {secret}", flush=True)
    seed = secrets.randbits(48) if args.seed is None else args.seed
    app = LocalStripeApp(base_url, Options(args.webhook_url, secret, args.state, seed))
    server_for(app).run(sockets=[listener])
    return 0


if __name__ == "__main__":
    sys.exit(main())
