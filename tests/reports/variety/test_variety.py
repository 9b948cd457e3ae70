"""Whether variety matters: no effect is claimed where there is none, and what differs is found with its size."""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.command import main
from reports.capacity.model import Variety
from reports.page.variety import variety_sentences
from reports.variety.association import blocks, effect_of, holm, p_value
from reports.variety.calls import Calls
from reports.variety.findings import variety_of
from tests.reports.conftest import MakeRun
from tests.reports.synthetic import Scenario, simulate

KINDS = ["plain", "long", "rich"]


def calls(seed: int, number: int, *, ms_a_kib: float = 0.0, rich_refused: float = 0.0) -> Calls:
    """Calls of three kinds against a bucket of 5/s and burst 8 whose latency drifts, with an effect or without any."""
    rng = np.random.default_rng([seed, number])
    sent = np.cumsum(rng.exponential(1 / 8, number))
    size, kind = rng.choice([0.0, 700.0, 12_000.0, 32_700.0], number), rng.integers(0, 3, number)
    tokens, last, started = 8.0, 0.0, np.zeros(number)
    for index, at in enumerate(sent):
        tokens, last = min(8.0, tokens + (at - last) * 5), at
        if tokens >= 1 and not (kind[index] == 2 and rng.random() < rich_refused):
            tokens -= 1
            started[index] = 1
    latency = 20 + rng.gamma(2, 4, number) * (1 + np.sin(sent / 20) ** 2) + ms_a_kib * size / 1024
    sizes = {"attribute_bytes": size, "attribute_count": np.ceil(size / 200)}
    sizes |= {"message_bytes": rng.choice([0.0, 40.0], number), "duration_minutes": np.zeros(number)}
    categories = {"content_types": (kind == 2).astype(np.int64), "kind": kind}
    words = {"content_types": ["text/plain", "text/plain,text/markdown"], "kind": KINDS}
    return Calls(sent, started, latency, sizes, categories, words, number)


@pytest.mark.parametrize("number", [100, 600])
def test_a_service_that_ignores_variety_is_not_accused(number: int) -> None:
    """Of forty runs without an effect hardly one claims any, however the service's phases go; intervals hold zero."""
    found = [variety_of(calls(seed, number)) for seed in range(40)]
    assert sum(any(each.shown for each in run) for run in found) <= 4
    all_of_them = [each for run in found for each in run]
    assert np.mean([each.low <= 0 <= each.high for each in all_of_them]) > 0.9


def test_latency_that_grows_with_size_is_found_and_measured() -> None:
    """3 ms a KiB over 32,700 bytes are 95.8 ms, and the interval says so."""
    found = {(each.dimension, each.on): each for each in variety_of(calls(7, 1200, ms_a_kib=3.0))}
    bytes_on_latency = found["attribute_bytes", "latency"]
    assert bytes_on_latency.shown
    assert bytes_on_latency.low < 3 * 32_700 / 1024 < bytes_on_latency.high
    assert bytes_on_latency.between == ("0 bytes", "31.9 KiB")
    assert not found["message_bytes", "latency"].shown


@pytest.mark.parametrize(("number", "share", "runs"), [(100, 0.05, 200), (3000, 0.5, 60)])
def test_intervals_hold_the_true_difference(number: int, share: float, runs: int) -> None:
    """A kind takes 90 ms longer: its interval of 95 % holds that, and the differences do not all lie on one side."""
    held, signs = 0, 0
    for seed in range(runs):
        some = calls(seed, number)
        some = some.where(some.started > 0)
        kind = (np.random.default_rng([seed, 1]).random(len(some)) < share).astype(float)
        effect = effect_of(kind, some.latency_ms + 90 * kind, blocks(some.sent), tails=0.005)
        if effect is not None:
            held += abs(effect.slope - 90) <= effect.reach() * effect.error
            signs += effect.slope < 90
    assert held >= 0.9 * runs
    assert 0.3 * runs < signs < 0.7 * runs


def test_one_stall_hides_no_difference_and_a_rare_kind_is_not_cut_as_one() -> None:
    """3 of 1,000 calls that hang for 5 s change hardly anything; 4 of a kind that take 100 ms longer are measured."""
    rng = np.random.default_rng(3)
    block = blocks(np.arange(1000) / 8)
    kind, noise = (rng.random(1000) < 0.5).astype(float), rng.normal(20, 2, 1000)
    stalled = noise + 10 * kind + 5000 * np.isin(np.arange(1000), [100, 500, 900])
    effect = effect_of(kind, stalled, block, tails=0.005)
    assert effect is not None
    assert effect.slope == pytest.approx(10, abs=0.5)
    assert effect.error < 0.2
    rare = np.isin(np.arange(1000), [10, 300, 600, 950]).astype(float)
    effect = effect_of(rare, noise + 100 * rare, block, tails=0.005)
    assert effect is not None
    assert abs(effect.slope - 100) < 4 * effect.error < 8
    assert effect.weight == pytest.approx(4, rel=0.15)


def test_shares_differ_by_100_points_at_most() -> None:
    """Of 5 calls of a rare kind, all refused, little is known: the interval ends where a share cannot go on."""
    some = calls(4, 60)
    kind = some.categories["kind"]
    kind[:] = 0
    kind[[3, 15, 27, 39, 51]] = 2
    some.started[:] = kind == 0
    some.started[[1, 20, 30]] = 0
    found = [each for each in variety_of(some) if each.on == "outcome"]
    assert found
    assert all(-100 <= each.low <= each.high <= 100 for each in found)
    assert any(each.low == -100 for each in found)


def test_rich_chats_that_are_refused_first_are_found() -> None:
    """Half of the rich chats refused shows as a lower share of started ones, by name."""
    found = {(each.dimension, each.on): each for each in variety_of(calls(7, 600, rich_refused=0.5))}
    kind = found["kind", "outcome"]
    assert kind.shown
    assert kind.between == ("the others", "rich")
    assert kind.high < 0


def test_phases_do_not_pose_as_an_effect() -> None:
    """A kind that is sent mostly while the service is full differs over the run, but not within the stretches of time."""
    rng = np.random.default_rng(5)
    early = np.arange(600) < 300
    kind = (rng.random(600) < np.where(early, 0.2, 0.8)).astype(float)
    started = (rng.random(600) < np.where(early, 0.9, 0.1)).astype(float)
    sent = np.arange(600) / 8
    assert p_value(kind[:, None], started, blocks(sent)) > 0.05
    assert p_value(kind[:, None], started, np.zeros(600, np.int64)) < 1e-6


@given(st.lists(st.floats(0, 1e6), max_size=200))
def test_stretches_are_short_and_hold_each_call_once(times: list[float]) -> None:
    """No stretch has more than 24 calls or lasts more than 10 s, and the numbers rise by one."""
    sent = np.sort(np.array(times, dtype=float))
    found = blocks(sent)
    assert len(found) == len(sent)
    for number in range(found.max() + 1 if len(found) else 0):
        inside = sent[found == number]
        assert 1 <= len(inside) <= 24
        assert inside[-1] - inside[0] <= 10.0


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_correction_keeps_the_order_and_never_lowers(values: list[float]) -> None:
    """Holm's corrected values are at least the plain ones, at most 1, and in the same order."""
    corrected = holm(values)
    assert all(plain <= fixed <= 1 for plain, fixed in zip(values, corrected, strict=True))
    order = np.argsort(values, kind="stable")
    assert list(np.array(corrected)[order]) == sorted(corrected)


def test_nothing_that_varies_asks_nothing() -> None:
    """Calls that are all alike, too few, or none, give no finding."""
    assert effect_of(np.ones(50), np.arange(50.0), blocks(np.arange(50.0))) is None
    assert variety_of(calls(1, 10)) == []
    assert variety_of(calls(1, 100).where(np.zeros(100, bool))) == []


def test_sentences_say_how_much_or_how_little() -> None:
    """A difference has its size, interval and chance; the others have the largest that the run leaves open."""
    shown = Variety("attribute_bytes", "latency", 1e-9, 1e-8, 96.0, 94.8, 97.1, 2.0, "ms", ("0 bytes", "31.9 KiB"), 900)
    other = Variety("kind", "latency", 0.4, 1.0, -1.0, -4.2, 2.2, 5.0, "ms", ("the others", "rich"), 900)
    unsure = Variety("kind", "latency", 0.01, 0.03, 1.3, -0.4, 3.0, 2.0, "ms", ("the others", "rich"), 900)
    assert variety_sentences([unsure]) == [
        "The kind of chat matters for the latency of started chats (p = 0.03 after correction for 1 question); by how "
        "much on average is not known: rich against the others, -0.4 to 3 ms (95 %)."
    ]
    assert variety_sentences([shown, other]) == [
        "The size of the attributes matters: 31.9 KiB against 0 bytes raises the latency of started chats by 96 ms (94.8 to "
        "97.1, 95 %; p < 0.001 after correction for 2 questions).",
        "No difference shown in the latency of started chats, in ms with 95 %, by kind of chat (at most 4.2, found from 5).",
    ]


def test_what_was_too_rare_to_see_suggests_the_balanced_draw(make_run: MakeRun) -> None:
    """A kind that is 2 % of the calls shows little: the page says from which difference on, and what would show more."""
    rows = simulate(Scenario(seconds=60.0))
    starts = [row for row in rows if row["operation"] == "StartChatContact"]
    for number, row in enumerate(starts):
        row["kind"] = "rare" if number % 50 == 0 else "plain"
    run = make_run(rows=rows)
    assert main(["report", str(run), "--no-figures", "--quiet"]) == 0
    variety = json.loads((run / "capacity.json").read_text())["variety"]
    found = next(each for each in variety if (each["dimension"], each["on"]) == ("kind", "outcome"))
    assert found["share"] == pytest.approx(0.02, abs=0.005)
    assert found["parts"] == 2
    page = (run / "report.md").read_text()
    assert "its rarer side is 2" in page
    assert '`draw = "balanced"` in the workload gives every kind an equal share' in page
    manifest = json.loads((run / "run.json").read_text())
    manifest.setdefault("workload", {})["draw"] = "balanced"
    (run / "run.json").write_text(json.dumps(manifest))
    assert main(["report", str(run), "--no-figures", "--quiet"]) == 0
    page = (run / "report.md").read_text()
    assert "gives every kind an equal share" not in page
    assert "balanced draw" in (run / "report.html").read_text()


def test_report_has_the_findings_and_what_to_do(make_run: MakeRun) -> None:
    """The findings are in capacity.json and on the page, beside advice that follows from the run."""
    rows: list[dict[str, Any]] = simulate(Scenario(seconds=60.0))
    for row in rows:
        if row["operation"] == "StartChatContact":
            row["received"] += 0.003 * row["attribute_bytes"] / 1024
    run = make_run(rows=rows)
    assert main(["report", str(run), "--no-figures", "--quiet"]) == 0
    found = json.loads((run / "capacity.json").read_text())["variety"]
    assert [each["dimension"] for each in found if each["p_holm"] < 0.05 and each["on"] == "latency"]
    page = (run / "report.md").read_text()
    assert "The size of the attributes matters" in page
    assert "`chatquota plan --run RUN --arrivals RATE --length TIME`" in page
    assert "<code>chatquota plan --run RUN --arrivals RATE --length TIME</code>" in (run / "report.html").read_text()
