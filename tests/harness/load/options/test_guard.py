"""The guard of live targets: hours, cost, account."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from configargparse import ArgumentParser

from harness.connect.signing import Credentials
from harness.connect.target import Target
from harness.errors import UsageError
from harness.load.options import guard
from harness.load.options.options import Settings
from harness.load.options.reading import add_options, read_settings
from harness.preflight.model import hours


def _settings(*arguments: str) -> Settings:
    parser = ArgumentParser()
    add_options(parser)
    return read_settings(parser.parse_args(list(arguments)), "https://connect.us-east-1.amazonaws.com")


def _target(region: str = "us-east-1", live: bool = True) -> Target:
    return Target(
        f"https://connect.{region}.amazonaws.com", "", region, "i", "f", lambda: Credentials("AKID", "secret"), live
    )


@pytest.mark.parametrize(
    ("region", "utc", "allowed"),
    [
        ("us-east-1", "2026-01-15T22:59", False),  # 17:59 in winter, five hours behind
        ("us-east-1", "2026-01-15T23:00", True),
        ("us-east-1", "2026-07-15T21:59", False),  # 17:59 in summer, four hours behind
        ("us-east-1", "2026-07-15T22:00", True),
        ("us-east-1", "2026-01-15T10:59", True),
        ("us-east-1", "2026-01-15T11:00", False),
        ("ap-southeast-2", "2026-01-15T07:00", True),  # 18:00 in Sydney
        ("ap-southeast-2", "2026-01-15T06:59", False),
        ("eu-central-1", "2026-03-29T04:30", False),  # the clock went forward that night: 06:30
    ],
)
def test_a_live_run_begins_only_between_six_and_six_of_the_regions_time(region: str, utc: str, allowed: bool) -> None:
    """AWS's hours, in the Region's local time with its summer time; --any-hour lifts the rule."""
    at = datetime.fromisoformat(utc).replace(tzinfo=UTC)
    settings = _settings()
    if allowed:
        guard.check_hours(settings, _target(region), at)
    else:
        with pytest.raises(UsageError, match=r"AWS allows load tests from 6 PM to 6 AM .* or give --any-hour"):
            guard.check_hours(settings, _target(region), at)
    guard.check_hours(replace(settings, any_hour=True), _target(region), at)
    guard.check_hours(settings, _target(region, live=False), at)


def test_an_unknown_region_is_checked_by_hand() -> None:
    """Where the local time is not known the user must look, and say so."""
    with pytest.raises(UsageError, match=r"Region 'xx-new-1' is not known here: check by hand .* and give --any-hour"):
        guard.check_hours(_settings(), _target("xx-new-1"))


def test_every_region_of_connect_has_a_zone() -> None:
    """Each Region where botocore knows an Amazon Connect endpoint has its local time here."""
    import boto3

    session = boto3.Session()
    known = [
        region
        for partition in ("aws", "aws-us-gov")
        for region in session.get_available_regions("connect", partition_name=partition)
    ]
    assert known
    assert [region for region in known if region not in hours.ZONES and "fips" not in region] == []


def test_a_live_run_ends_at_six() -> None:
    """The seconds left are real ones, also in a night in which the clock changes."""
    winter = datetime.fromisoformat("2026-01-16T05:00+00:00")  # midnight in New York
    assert guard.seconds_left(_settings(), _target(), winter) == 6 * 3600
    spring = datetime.fromisoformat("2026-03-08T05:00+00:00")  # midnight, an hour is skipped at two
    assert guard.seconds_left(_settings(), _target(), spring) == 5 * 3600
    assert guard.seconds_left(_settings("--any-hour"), _target(), winter) is None
    assert guard.seconds_left(_settings(), _target(live=False), winter) is None


def test_the_cost_is_an_upper_bound_and_says_how_it_is_computed() -> None:
    """Chats, messages of each, price of one: the product, and the factors to check."""
    cost, how = guard.worst_cost(_settings("--max-chats", "3000"))
    assert cost == pytest.approx(60.0)
    assert how == "3,000 chats x 2 messages x 0.01 USD a message"


def test_an_account_that_cannot_be_asked_does_not_stop_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """sts:GetCallerIdentity is a courtesy: without it the account is unknown, and the reason stands there."""
    from botocore.exceptions import ClientError, EndpointConnectionError

    class Sts:
        error: Exception = ClientError({"Error": {"Code": "AccessDenied", "Message": ""}}, "GetCallerIdentity")

        def get_caller_identity(self) -> dict[str, Any]:
            raise self.error

    monkeypatch.setattr(Target, "boto", lambda self, service, **options: Sts())
    assert guard.account_of(_target()) == "unknown (AccessDenied)"
    Sts.error = EndpointConnectionError(endpoint_url="https://sts")
    assert guard.account_of(_target()) == "unknown (EndpointConnectionError)"


def _announced(user_class: str, *arguments: str) -> str:
    settings = _settings("--max-chats", "700", *arguments)
    return "\n".join(guard.announcement(settings, _target(), 20, "123456789012", user_class))


def test_announcement_tells_what_each_user_class_will_do() -> None:
    """Users are a rate for StartChat; the probe sends volleys up to its own ceiling, whatever the users."""
    assert "up to 10 starts/s (20 users x 0.5); at most 700 chats" in _announced(
        "StartChat", "--starts-per-user", "0.5"
    )
    probe = _announced("QuotaProbe", "--max-probe-rate", "80", "--probe-time", "10m")
    assert "volleys of up to 80 calls in any second (--max-probe-rate) for at most 10 min (--probe-time)" in probe
    assert "starts/s (" not in probe
    limit = _announced("QuotaProbe", "--probe", "tps")
    assert "at a limit of 5/s with burst 8 it takes about 2.5 minutes" in limit
    assert "(1.3 minutes if it is exact)" in limit
    assert "one chat more than the quota holds" in _announced("QuotaProbe", "--probe", "safe")


def test_announcement_of_a_day_tells_the_peak_of_its_file(tmp_path: Path) -> None:
    """The users do not matter to a day's curve, so the announcement names the highest rate of the file."""
    day = tmp_path / "day.csv"
    day.write_text("time,starts_per_s\n00:00,1\n12:00,7\n23:00,2\n")
    assert "up to 7 starts/s, as day:" in _announced("StartChat", "--load-shape", f"day:{day},60")


def test_live_run_counts_down_and_can_be_ended_before_its_first_call() -> None:
    """Five seconds are counted one by one; whoever ends the run in them has started nothing."""
    waited: list[float] = []
    said: list[str] = []

    def wait(seconds: float) -> bool:
        waited.append(seconds)
        return len(waited) == 8

    assert guard.countdown(wait, said.append)
    assert waited == [1.0] * 5
    assert said[0] == "chatquota: the first call leaves in 5 s; Ctrl-C ends the run before it (--yes begins at once)"
    assert not guard.countdown(wait, said.append)
    assert len(waited) == 8
