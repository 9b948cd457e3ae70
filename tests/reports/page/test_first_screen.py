"""The first screen of a report: target, answer, validity and what to do, without scrolling; percentiles have intervals."""

import re

import pytest
from playwright.sync_api import expect

from harness.command import main
from tests.harness.webui.support import browser_page
from tests.reports.conftest import MakeRun
from tests.reports.synthetic import Scenario


@pytest.mark.slow
def test_target_answer_validity_and_what_to_do_are_on_the_first_screen(make_run: MakeRun) -> None:
    """At 1280 by 800 pixels nothing of them is below the edge."""
    run = make_run(Scenario(seconds=40.0))
    assert main(["report", str(run), "--quiet", "--no-figures"]) == 0
    with browser_page() as page:
        page.set_viewport_size({"width": 1280, "height": 800})
        page.goto((run / "report.html").as_uri())
        expect(page.locator(".target")).to_contain_text("LAB emulator")
        for what in (".target", "h1", ".validity >> nth=0", ".advice h2", ".advice li >> nth=-1"):
            box = page.locator(what).bounding_box()
            assert box is not None, what
            assert box["y"] + box["height"] <= 800, what


@pytest.mark.slow
def test_percentiles_have_their_intervals(make_run: MakeRun) -> None:
    """Each percentile lies within its interval; where the calls are too few for one there is none."""
    run = make_run(Scenario(seconds=120.0, quota=10_000))
    assert main(["report", str(run), "--quiet", "--no-figures"]) == 0
    page = (run / "report.html").read_text()
    table = page[page.index("Percentiles of the latency") :].split("</table>")[0]
    started = re.search(r"<td>started</td>(.*?)</tr>", table)
    assert started is not None
    cells = re.findall(r"([\d.,]+) \(([\d.,]+) to ([\d.,]+)\)", started[1])
    assert len(cells) >= 2
    for cell in cells:
        value, low, high = (float(number.replace(",", "")) for number in cell)
        assert low <= value <= high
        assert value == pytest.approx((low + high) / 2, rel=0.2)
