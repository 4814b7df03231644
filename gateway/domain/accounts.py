"""Account and API key: who buys, and the credential that says so."""

import hashlib
from dataclasses import dataclass

KEY_PREFIX = "fmk_"


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A row. The key itself is shown once and stored only as its sha256."""

    id: str
    account_id: str
    revoked_at: int | None


def hash_key(api_key: str) -> str:
    """sha256 in hex. A key is 256 random bits, so a slow password hash would add nothing.

    Looking it up in an index is not constant in time, but what the time tells is how much of a stored hash the sent
    key's hash shares, and nobody can choose keys by their hash: there is no next guess to be learned from it.
    """
    return hashlib.sha256(api_key.encode()).hexdigest()
