"""Ids: sixteen bytes under a prefix that says what they name: four of the time they were made, twelve random ones."""

RANDOM_BYTES = 12


def new_id(prefix: str, now: int, random: bytes) -> str:
    return text_id(prefix, new_raw_id(now, random))


def new_raw_id(now: int, random: bytes) -> bytes:
    """`now` in epoch seconds and RANDOM_BYTES. What is made together lies together in the database's trees, so that
    storing many writes few pages."""
    return now.to_bytes(4, "big") + random


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
