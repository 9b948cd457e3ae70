"""What a figure remembers while it is drawn changes nothing of it."""

from contextlib import nullcontext

import numpy as np
import pytest
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.text import Text

from reports.figures import style
from reports.figures.over_time import plain_log
from reports.figures.picture import Picture


def drawn() -> Picture:
    """Draw two plots over each other with what figures have: legends, a logarithmic axis, texts that wrap or are turned."""
    with style.report_style():
        figure, (upper, lower) = style.stacked_figure(1.5, 1.8)
        at = np.arange(1.0, 2_000.0)
        upper.plot(at, at**2, label="squares")
        upper.set_ylabel("a long label at the side")
        style.legend(upper)
        lower.plot(at, np.sin(at) + 2, label="waves")
        lower.set_xscale("log")
        plain_log(lower)
        lower.set_yticks([1, 2, 3], ["one", "two\nlines", "three"])
        lower.text(10, 2, "a text that is longer than the plot is wide, and wraps at its end", wrap=True)
        lower.tick_params(axis="x", rotation=30)
        style.legend_above(figure, lower)
        return style.picture("name", "title", "sentence", "alternative", figure)


def test_a_figure_is_the_same_as_if_nothing_was_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both files of it, to the byte."""
    before = drawn()
    monkeypatch.setattr(style, "remembered", nullcontext)
    assert drawn() == before


def test_nothing_is_remembered_of_another_figure() -> None:
    """Afterwards matplotlib is as it was, also where drawing fails."""
    functions = [(Axis, "_update_ticks"), (Text, "_get_layout")]
    before = [getattr(kind, name) for kind, name in functions]
    with style.report_style():
        figure: Figure = style.new_figure()[0]
        figure.axes[0].set_title(r"$\unknown$")
        with pytest.raises(ValueError, match="unknown"):
            style.picture("name", "title", "sentence", "alternative", figure)
    assert [getattr(kind, name) for kind, name in functions] == before
