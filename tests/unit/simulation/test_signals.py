"""The input file to fill in names every input once and starts where the model does."""

from gateway.domain.models import Experiment, Model, Variable
from gateway.simulation.signals import inputs_csv


def model(*variables):
    by_name = {v.name: v for v in variables}
    return Model("c:M", "0" * 64, "M", "", "3.0", ("co_simulation",), Experiment(1.0, 5.0, 0.1), by_name)


def test_it_has_a_row_for_the_start_and_one_for_the_end():
    u = Variable("u", "Float64", "input", "continuous", start=2.5)
    on = Variable("on, off", "Boolean", "input", "discrete", start=True)
    y = Variable("y", "Float64", "output", "continuous")
    assert inputs_csv(model(u, on, y)) == 'time,u,"on, off"\n1.0,2.5,1.0\n5.0,2.5,1.0\n'


def test_inputs_that_are_no_single_numbers_are_left_out():
    text = Variable("s", "String", "input", "discrete", start="x")
    array = Variable("a", "Float64", "input", "continuous", start=(1.0, 2.0), dimensions=(2,))
    assert inputs_csv(model(text, array)) == "time\n1.0\n5.0\n"
