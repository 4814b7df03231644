"""The buyer: an SDK over httpx and the commands built on it. Knows nothing of the server."""
