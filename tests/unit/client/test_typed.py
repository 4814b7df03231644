"""What people type: CSV as the field writes it, values, durations; every mistake is named with its place."""

import pytest

from gateway.client.typed import TypedWrong, duration, input_file, input_signals, names, price, start_values


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90), ("90s", 90), ("10m", 600), ("1h30m", 5400), ("0.5m", 30), ("0", 0)]
)
def test_durations_are_seconds_minutes_hours(text, seconds):
    assert duration(text) == seconds


@pytest.mark.parametrize("text", ["", "m", "10 m", "-5", "1d", "ten", "10m5", "inf", "nan"])
def test_what_is_no_duration_is_refused(text):
    with pytest.raises(TypedWrong, match="duration"):
        duration(text)


@pytest.mark.parametrize("text", ["2", "2.50", "0"])
def test_a_price_stays_the_text_it_is(text):
    assert price(text) == text


@pytest.mark.parametrize("text", ["", "two", "-1", "NaN", "inf", "2,5", "1e3", "2."])
def test_what_is_no_price_is_refused(text):
    with pytest.raises(TypedWrong, match="price"):
        price(text)


def test_names_are_split_at_commas_but_not_inside_an_index():
    assert names(["h, v", "x[1,2],y"]) == ["h", "v", "x[1,2]", "y"]
    assert names([]) is None


def test_start_values_keep_their_types():
    found = start_values(
        ["e=0.7", "n=3", "on=true", "label=abc", 'text="5"', "k=[1, 2]", "s=a=b", "x=.5", "y=1e-3", "z=+2"]
    )
    assert found == {
        "e": 0.7, "n": 3, "on": True, "label": "abc", "text": "5", "k": [1, 2], "s": "a=b", "x": 0.5, "y": 1e-3, "z": 2,
    }  # fmt: skip
    assert type(found["n"]) is int
    assert start_values([]) is None


def test_not_a_number_stays_text_and_is_the_gateways_to_refuse():
    assert start_values(["e=NaN", "f=Infinity"]) == {"e": "NaN", "f": "Infinity"}


@pytest.mark.parametrize("text", ["e", "=1", ""])
def test_a_start_value_needs_a_name_and_a_value(text):
    with pytest.raises(TypedWrong, match="name=value"):
        start_values([text])


def signals(raw):
    return {signal["name"]: (signal["t"], signal["u"]) for signal in input_signals(raw, "in.csv")}


@pytest.mark.parametrize(
    "raw",
    [
        b"time,u\n0,1\n1,2.5\n",
        b"time;u\n0;1\n1;2,5\n",
        b"time;u\n0;1\n1;2.5\n",
        b"\xef\xbb\xbftime,u\r\n0,1\r\n1,2.5\r\n",
        b'"time","u"\n0.0,1.0\n1.0,2.5',
        b"\n time , u \n0, 1\n\n1, 2.5\n,\n",
        "time;u\n0;1\n1;2,5\n".encode("utf-16"),
        b"Time,u\n0,1\n1,2.5\n",
        b"time,u\n0,1\n1,25e-1\n",
    ],
)
def test_csv_is_read_as_the_field_writes_it(raw):
    assert signals(raw) == {"u": ([0.0, 1.0], [1.0, 2.5])}


def test_a_single_row_and_several_inputs_are_fine():
    assert signals(b"time,T_out,x[1]\n0,283.15,4\n") == {"T_out": ([0.0], [283.15]), "x[1]": ([0.0], [4.0])}


def test_a_unit_may_stand_behind_a_name():
    found = input_signals(b"time [s],speed [rpm],x[1],x[2] [m/s2]\n0,1,2,3\n", "in.csv")
    assert [(signal["name"], signal.get("unit")) for signal in found] == [
        ("speed", "rpm"),
        ("x[1]", None),
        ("x[2]", "m/s2"),
    ]


def test_a_quoted_name_may_hold_a_comma():
    assert signals(b'time;"x[1,2]"\n0;1,5\n') == {"x[1,2]": ([0.0], [1.5])}


def test_a_file_saved_by_excel_in_western_europe_keeps_its_names():
    assert signals("time;Wärme\n0;1,5\n".encode("cp1252")) == {"Wärme": ([0.0], [1.5])}


@pytest.mark.parametrize(
    ("raw", "told"),
    [
        (b"", "line 1: the header must be time"),
        (b"t,u\n0,1\n", "line 1: the header must be time"),
        (b"time\n0\n", "line 1: the header must be time"),
        (b"0,1\n1,2\n", "line 1: the header must be time"),
        (b"time,u\n", "no row of values"),
        (b"time,u\n0,1\n1,x\n", r"line 3, column u: 'x' is no number"),
        (b"time,u\n0,1\n1,\n", "line 3, column u: the cell is empty"),
        (b"time,u\n0,nan\n", "line 2, column u: 'nan' is no number"),
        (b"time,u\n0,1_0\n", "line 2, column u: '1_0' is no number"),
        (b"time;u\n0;1.234,5\n", "line 2, column u: '1.234,5' is no number"),
        (b"time,u\n0,1,5\n", "line 2: 3 cells, but the header has 2 columns"),
        (b"time,u\n0,1\n0,2\n", "line 3, column time: 0 does not come after 0"),
        (b"time,u,u\n0,1,2\n", "line 1: u is named twice"),
        (b"time,u,u [m]\n0,1,2\n", "line 1: u is named twice"),
        (b"time [ms],u\n0,1\n", "line 1: the header must be time"),
        (b"time,,v\n0,1,2\n", "line 1, column 2: the input's name is missing"),
    ],
)
def test_a_fault_in_the_file_is_named_with_line_and_column(raw, told):
    with pytest.raises(TypedWrong, match=told) as refused:
        signals(raw)
    assert str(refused.value).startswith("in.csv")


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(TypedWrong, match="No such file"):
        input_file(tmp_path / "missing.csv")
