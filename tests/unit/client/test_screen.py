"""A server's text cannot move the cursor, whatever it contains; data are JSON any program reads."""

import json

import pytest

from gateway.client import screen
from gateway.client.plot import plot
from gateway.client.values import RunResult


@pytest.mark.parametrize(
    ("hostile", "harmless"),
    [
        ("\x1b[2J\x1b[1;31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07text", "text"),
        ("\x1b]8;;http://evil\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x9b31mx", " 31mx"),
        ("a\rb\nc\x08d\x00e", "a b c d e"),
        ("abc\u202edef\u2066", "abc def"),
        ("zero\u200bwidth", "zero width"),
        ("\x1bP+q\x1b\\x", "x"),
        ("[bold]not markup[/bold]", "[bold]not markup[/bold]"),
        ("Ω, °C and 你好 stay", "Ω, °C and 你好 stay"),
        ("\x1b", ""),
    ],
)
def test_only_printing_characters_of_a_servers_text_reach_the_terminal(hostile, harmless):
    assert screen.plain(hostile) == harmless


def test_every_control_character_is_removed():
    every = "".join(map(chr, [*range(0x20), *range(0x7F, 0xA0)]))
    assert all(ch.isprintable() for ch in screen.plain(f"a{every}b"))


def test_json_acts_on_no_terminal_and_means_the_same(capsys):
    body = {"text": "\x1b[2J\x7f\x9b\u202e", "data": [1.5, None, True]}
    screen.put_json(body)
    out = capsys.readouterr().out
    assert all(" " <= ch <= "~" for ch in out.rstrip("\n"))
    assert json.loads(out) == body


def test_a_table_cannot_be_broken_by_a_cell(capsys):
    screen.put_table([("a\nb", "\x1b[31mlong" * 60)], head=("one", "two"))
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert max(map(len, lines)) <= 100


def result(data, units=None):
    return RunResult(body={}, run_id="run_1", fmu_id="msl:A", columns=list(data), data=data, units=units or {})


def test_a_plot_shows_curves_with_plain_labels_and_no_colour_codes():
    data = {"time": [0.0, 1.0, 2.0], "h\x1b[31m": [0.0, None, 4.0]}
    drawn = plot(result(data, {"h\x1b[31m": "m"}), 80)
    assert "h [m]" in drawn
    assert "\x1b" not in drawn
    assert max(map(len, drawn.splitlines())) <= 80


def test_there_is_no_plot_of_nothing():
    assert plot(result({"time": [], "h": []}), 80) == ""
    assert plot(result({"time": [0.0], "h": [None]}), 80) == ""


def test_a_long_result_keeps_its_peak_in_the_plot():
    values = [0.0] * 100_000
    values[77_777] = 10.0
    assert "10┤" in plot(result({"time": [float(i) for i in range(100_000)], "h": values}), 80)
