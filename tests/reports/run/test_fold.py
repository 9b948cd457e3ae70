"""The fold over samples against pandas on the same rows."""

import random
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reports.run.fold import Aggregates, fold
from reports.run.histogram import ERROR
from reports.run.rundir import read_run
from reports.run.samples import read_batches
from reports.run.timeline import timeline
from reports.wording.vocabulary import OUTCOMES
from tests.reports.conftest import MakeRun
from tests.reports.synthetic import BEGAN, SCHEMA, Scenario, simulate


def folded(path: Path) -> Aggregates:
    """Fold the samples of the run at `path`."""
    return fold(read_batches(read_run(path).sample_files))


def table(path: Path) -> pd.DataFrame:
    """The samples of the run at `path`, read by pandas."""
    return pd.concat([pd.read_parquet(file) for file in sorted((path / "samples").glob("*.parquet"))])


def test_counts_and_quantiles_are_those_of_pandas(make_run: MakeRun) -> None:
    """Outcomes, seconds, varieties and latencies agree with a group-by over the same files."""
    path = make_run(Scenario(faults=0.1, oddities=3, hold=6.0, seconds=30))
    total, frame = folded(path), table(path)
    counts = frame.groupby(["operation", "outcome"], observed=True).size()
    assert {pair: total.count(*pair) for pair in counts.index} == counts.to_dict()
    starts = frame[frame["operation"] == "StartChatContact"]
    for (operation, outcome), rows in frame.groupby(["operation", "outcome"], observed=True):
        group = total.pairs[str(operation), str(outcome)]
        for histograms, since in ((total.from_sent, "sent"), (total.from_scheduled, "scheduled")):
            exact = np.quantile(rows["received"] - rows[since], 0.95, method="inverted_cdf")
            assert histograms.quantile(group, 0.95) == pytest.approx(exact, rel=ERROR * 1.001)
    by_type = starts.groupby(["content_types", "outcome"], observed=True).size().unstack(fill_value=0)
    found = pd.DataFrame.from_dict(total.counts_of(total.types.numbers, total.by_type), orient="index")
    assert found.loc[by_type.index, by_type.columns].to_numpy().tolist() == by_type.to_numpy().tolist()
    seconds = np.floor(starts["sent"]).astype(int)
    per_second = starts.groupby([seconds, "outcome"], observed=True).size()
    expected: dict[Any, int] = per_second.to_dict()
    for (second, outcome), count in expected.items():
        assert total.by_sent.trimmed(second, second)[0, total.series(outcome)] == count


def test_active_chats_are_starts_less_ends(make_run: MakeRun) -> None:
    """The timeline's open chats are the chats answered as started less those stopped, second by second."""
    path = make_run(Scenario(hold=5.0, seconds=25))
    view, frame = timeline(folded(path), {}), table(path)
    for second, open_chats in enumerate(view.active, start=1):
        end = view.origin + second
        started = ((frame["outcome"] == "started") & (frame["received"] < end)).sum()
        ended = ((frame["operation"] == "StopContact") & (frame["received"] < end)).sum()
        assert open_chats == started - ended


def test_offered_holds_what_was_dropped(make_run: MakeRun) -> None:
    """Arrivals that were dropped unsent have no sample and still count as offered."""
    path = make_run(Scenario())
    without = timeline(folded(path), {})
    view = timeline(folded(path), {without.origin + 3: 7})
    assert view.rates["offered"].sum() == without.rates["offered"].sum() + 7


row = st.fixed_dictionaries(
    {
        "operation": st.sampled_from(["StartChatContact", "StopContact", "SendMessage", "Peculiar"]),
        "scheduled": st.floats(0, 100) | st.sampled_from([float("nan"), float("inf"), -1e300]),
        "sent": st.floats(0, 100),
        "received": st.floats(0, 100) | st.none(),
        "outcome": st.sampled_from([*OUTCOMES, "of-the-future"]),
        "attribute_bytes": st.integers(-5, 40_000),
        "content_types": st.none() | st.sampled_from(["text/plain", "text/plain,text/markdown"]),
        "kind": st.none() | st.text(max_size=3),
    }
)


@pytest.mark.slow
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(rows=st.lists(row, max_size=60), files=st.integers(1, 4), seed=st.integers(0, 3))
def test_any_rows_fold_to_the_same_in_any_files(
    rows: list[dict[str, Any]], files: int, seed: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Every row is counted once, whatever its values and however the rows are spread over files."""
    folder = tmp_path_factory.mktemp("fold")
    whole, parts = folder / "whole", folder / "parts"
    shuffled = random.Random(seed).sample(rows, len(rows))
    for target, chunks in ((whole, [rows]), (parts, [shuffled[number::files] for number in range(files)])):
        target.mkdir()
        for number, chunk in enumerate(chunks):
            shifted = [_shift(entry) for entry in chunk]
            pq.write_table(pa.Table.from_pylist(shifted, schema=SCHEMA), target / f"{number}.parquet")
    one, other = (fold(read_batches(tuple(sorted(target.iterdir())))) for target in (whole, parts))
    assert one.rows == other.rows == len(rows)
    assert one.unplaced == other.unplaced
    for name in {entry["operation"] for entry in rows}:
        assert [one.count(name, outcome) for outcome in OUTCOMES] == [
            other.count(name, outcome) for outcome in OUTCOMES
        ]
    assert one.starts() == other.starts()
    assert (one.by_band == other.by_band).all()
    placed = sum(entry["received"] is not None and abs(entry["scheduled"]) < 1000 for entry in rows)
    assert one.rows - one.unplaced == placed


def _shift(entry: dict[str, Any]) -> dict[str, Any]:
    times = {key: entry[key] + BEGAN for key in ("scheduled", "sent", "received") if entry[key] is not None}
    return entry | times


def test_more_words_than_are_told_apart_share_the_last(make_run: MakeRun) -> None:
    """A run with a hundred kinds keeps its totals; the kinds beyond the 31st are counted together."""
    rows = simulate(Scenario())
    starts = [entry for entry in rows if entry["operation"] == "StartChatContact"]
    for number, entry in enumerate(starts):
        entry["kind"] = f"kind-{number % 100}"
    total = folded(make_run(rows=rows))
    found = pd.DataFrame.from_dict(total.counts_of(total.kinds.numbers, total.by_kind), orient="index")
    assert len(found) == 32
    assert found.to_numpy().sum() == len(starts)


def test_many_operations_and_outcomes_are_counted_as_few_are(make_run: MakeRun) -> None:
    """The starts of a run say the same beside operations of every outcome, whose pairs are counted too."""
    rows = simulate(Scenario())
    beside = [
        entry | {"operation": f"Operation{number % 4}", "outcome": OUTCOMES[number // 4 % len(OUTCOMES)]}
        for number, entry in enumerate(rows)
    ]
    few, many = folded(make_run(rows=rows)), folded(make_run(rows=rows + beside))
    assert many.starts() == few.starts()
    assert many.outcomes.sum() == many.rows == 2 * few.rows
    for number in range(4):
        for outcome in OUTCOMES:
            expected = sum((row["operation"], row["outcome"]) == (f"Operation{number}", outcome) for row in beside)
            assert many.count(f"Operation{number}", outcome) == expected
    for name in ("by_sent", "offered"):
        one, other = (getattr(total, name).trimmed(int(few.first), int(few.last)) for total in (few, many))
        assert (one[:, :-1] == other[:, :-1]).all()
    for name in ("by_kind", "by_type", "by_band"):
        assert (getattr(few, name)[:, :-1] == getattr(many, name)[:, :-1]).all()
    for pair, group in few.pairs.items():
        assert (few.from_sent.counts[group] == many.from_sent.counts[many.pairs[pair]]).all()
    assert (few.latency_over_time.of(0) == many.latency_over_time.of(0)).all()
    assert few.late_by_second == many.late_by_second
    assert (few.first_sent[:-1] == many.first_sent[:-1]).all()
