"""What a probe of the journey wrote into run.json stands in both texts of the report."""

import json

from harness.command import main
from tests.reports.conftest import MakeRun

FOUND = {
    "operations": {
        "SendMessage": {
            "rate": {"estimate": 9.02, "low": 8.99, "high": 9.05},
            "burst": {"estimate": 13, "low": 13, "high": 13},
            "limiter": "token_bucket",
            "verdict": "explained",
        },
        "GetTranscript": {"verdict": "not_explained", "sentence": "No call was throttled."},
    },
    "messages_and_events_share": {"one_bucket": "yes", "calls": 36, "admitted": 0},
    "chats_share": {"SendMessage": {"one_bucket": "no", "calls": 20, "admitted": 20}},
    "calls_per_chat": {"SendMessage": 3.0},
    "binds_first": {"operation": "SendMessage", "chats_per_s": 3.007},
}


def test_limits_shared_buckets_and_what_binds_first_are_told(make_run: MakeRun) -> None:
    """Each operation has its row, and sentences say what shares a bucket and what binds first."""
    run = make_run(journey_probe=FOUND)
    assert main(["report", str(run), "--no-figures", "--quiet"]) == 0
    for text in ((run / "report.md").read_text(), (run / "report.html").read_text()):
        assert "SendMessage binds first, at 3.007 chats a second" in text
        assert "9.02/s (8.99 to 9.05)" in text
        assert "No call was throttled." in text
        assert "SendMessage and SendEvent share one bucket: 0 of 36 calls" in text
        assert "SendMessage: each chat has calls of its own." in text
    answer = json.loads((run / "capacity.json").read_text())
    assert answer["journey_probe"]["binds_first"]["operation"] == "SendMessage"


def test_a_run_that_did_not_probe_the_journey_says_nothing_of_it(make_run: MakeRun) -> None:
    """Without the entry there is no section."""
    run = make_run()
    assert main(["report", str(run), "--no-figures", "--quiet"]) == 0
    assert "participant's operation" not in (run / "report.html").read_text()
