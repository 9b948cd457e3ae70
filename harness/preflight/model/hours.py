"""The hours in which AWS allows load tests: 6 PM to 6 AM of the Region's local time, after approval.

https://docs.aws.amazon.com/connect/latest/adminguide/load-and-penetration-testing.html
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

FIRST_HOUR, LAST_HOUR = 18, 6
"""A load test may run from 18:00 to 06:00."""

# Where AWS says that each Region is (https://docs.aws.amazon.com/global-infrastructure/latest/regions/aws-regions.html).
ZONES = {
    "af-south-1": "Africa/Johannesburg",
    "ap-east-1": "Asia/Hong_Kong",
    "ap-northeast-1": "Asia/Tokyo",
    "ap-northeast-2": "Asia/Seoul",
    "ap-northeast-3": "Asia/Tokyo",
    "ap-south-1": "Asia/Kolkata",
    "ap-south-2": "Asia/Kolkata",
    "ap-southeast-1": "Asia/Singapore",
    "ap-southeast-2": "Australia/Sydney",
    "ap-southeast-3": "Asia/Jakarta",
    "ap-southeast-4": "Australia/Melbourne",
    "ap-southeast-5": "Asia/Kuala_Lumpur",
    "ap-southeast-7": "Asia/Bangkok",
    "ca-central-1": "America/Toronto",
    "ca-west-1": "America/Edmonton",
    "eu-central-1": "Europe/Berlin",
    "eu-central-2": "Europe/Zurich",
    "eu-north-1": "Europe/Stockholm",
    "eu-south-1": "Europe/Rome",
    "eu-south-2": "Europe/Madrid",
    "eu-west-1": "Europe/Dublin",
    "eu-west-2": "Europe/London",
    "eu-west-3": "Europe/Paris",
    "il-central-1": "Asia/Jerusalem",
    "me-central-1": "Asia/Dubai",
    "me-south-1": "Asia/Bahrain",
    "mx-central-1": "America/Mexico_City",
    "sa-east-1": "America/Sao_Paulo",
    "us-east-1": "America/New_York",
    "us-east-2": "America/New_York",
    "us-gov-east-1": "America/New_York",
    "us-gov-west-1": "America/Los_Angeles",
    "us-west-1": "America/Los_Angeles",
    "us-west-2": "America/Los_Angeles",
}


def local_time(region: str, at: datetime | None = None) -> datetime | None:
    """Return `at` (now, by default) as the Region's clocks show it; None for a Region whose place is not known here."""
    zone = ZONES.get(region)
    return (at or datetime.now(UTC)).astimezone(ZoneInfo(zone)) if zone else None


def allowed(local: datetime) -> bool:
    """Whether a load test may run at that local time."""
    return not LAST_HOUR <= local.hour < FIRST_HOUR


def until_last_hour(local: datetime) -> float:
    """Return the seconds until it is 6 AM there."""
    end = local.replace(hour=LAST_HOUR, minute=0, second=0, microsecond=0)
    if local.hour >= LAST_HOUR:
        end += timedelta(days=1)
    return end.timestamp() - local.timestamp()  # of wall-clock times the clock changes in between would be wrong
