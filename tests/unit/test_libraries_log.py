"""What libraries log becomes lines of ours, and strangers cannot fill the log with it."""

import logging
from typing import Any

import pytest
import structlog
from structlog.testing import capture_logs

from gateway import app
from gateway.app import LIBRARY_SECONDS, Libraries


def said(*records: tuple[int, int, float]) -> list[dict[str, Any]]:
    """The lines for records of (level, line in the library's code, when)."""
    handler = Libraries()
    with capture_logs() as lines, pytest.MonkeyPatch.context() as patch:
        patch.setattr(app, "log", structlog.get_logger())  # an older one may have kept where it writes
        for level, line, when in records:
            record = logging.LogRecord(
                "uvicorn.error", level, "httptools_impl.py", line, "Invalid %s", ("bytes",), None
            )
            record.created = when
            handler.handle(record)
    return [dict(line) for line in lines]


def test_a_warning_says_who_warns_of_what() -> None:
    assert said((logging.WARNING, 1, 100.0)) == [
        {
            "event": "library",
            "log_level": "warning",
            "logger": "uvicorn.error",
            "message": "Invalid bytes",
            "exc_info": None,
        }
    ]


def test_a_warning_stands_for_all_of_its_minute_and_the_next_says_how_many() -> None:
    minute = LIBRARY_SECONDS
    lines = said(*((logging.WARNING, 1, 100.0 + i) for i in range(10)), (logging.WARNING, 1, 100.0 + minute))
    assert [line.get("left_out") for line in lines] == [None, 9]


def test_another_warning_and_every_error_are_told() -> None:
    lines = said((logging.WARNING, 1, 100.0), (logging.WARNING, 2, 100.0), *[(logging.ERROR, 3, 100.0)] * 3)
    assert [line["log_level"] for line in lines] == ["warning"] * 2 + ["error"] * 3
