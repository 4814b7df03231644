"""Ids: sixteen bytes under a prefix that says what they name: six of the time they were made, ten random ones."""

RANDOM_BYTES = 10
TICKS = 1 << 16  # per second


def new_id(prefix: str, at: float, random: bytes) -> str:
    return text_id(prefix, new_raw_id(at, random))


def new_raw_id(at: float, random: bytes) -> bytes:
    """`at` in epoch seconds and RANDOM_BYTES. What is made after another thing lies behind it in the database's trees,
    to 15 µs, so that storing many writes few pages."""
    return int(at * TICKS).to_bytes(6, "big") + random


def text_id(prefix: str, raw: bytes) -> str:
    """b"…" (16 bytes) → "run_0123…" (32 hex digits)."""
    if len(raw) != 16:
        raise ValueError("an id is made of 16 bytes")
    return f"{prefix}_{raw.hex()}"


def raw_id(text: str) -> bytes:
    """The sixteen bytes behind an id. ValueError if it is none."""
    raw = bytes.fromhex(text.rsplit("_", 1)[-1])
    if len(raw) != 16:
        raise ValueError(f"{text!r} is no id")
    return raw
