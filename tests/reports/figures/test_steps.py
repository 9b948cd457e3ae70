"""Steps are drawn as matplotlib draws them, and reach as far, without a look at each of them."""

import numpy as np
import pytest
from matplotlib.axes import Axes

from reports.figures.style import new_figure, picture, report_style, steps

EDGES = np.array([0.0, 1.0, 2.5, 3.0, 7.0])
VALUES = np.array([3.0, -1.0, 4.0, 1.5])


def drawn_by_matplotlib(axes: Axes, baseline: object) -> None:
    colour = {"facecolor": "red"} if baseline is not None else {"edgecolor": "red"}
    axes.stairs(VALUES, EDGES, baseline=baseline, fill=baseline is not None, linewidth=1, label="x", **colour)  # type: ignore[arg-type]


@pytest.mark.parametrize("baseline", [None, 0, -2.0, np.array([0.0, -3.0, 1.0, 1.0])], ids=["line", "0", "-2", "each"])
def test_steps_are_those_of_matplotlib(baseline: object) -> None:
    """A line, and areas over a number or over other steps, with the axis as long as it would be."""
    with report_style():
        figure, axes = new_figure()
        drawn_by_matplotlib(axes, baseline)
        wanted = picture("x", "x", "x", "x", figure)
        figure, axes = new_figure()
        steps(axes, VALUES, EDGES, baseline, color="red", linewidth=1, label="x")
        assert picture("x", "x", "x", "x", figure) == wanted
