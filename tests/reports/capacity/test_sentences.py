"""The headline's sentences."""

from harness.quotas.any_limiter.estimates import LimiterClass
from reports.capacity.model import Interval, Sustained, Tps
from reports.capacity.sentences import any_limiter


def told(kind: LimiterClass, strong: tuple[float, float, float], mild: tuple[float, float, float]) -> str:
    """What is said of a limiter that no exact one explains, with these rates under strong and mild pressure."""
    unknown = Interval(None, None, None)
    under = Tps(unknown, unknown, "unknown", "not_explained", {}, kind, Sustained(*strong), Sustained(*mild))
    return str(any_limiter(under))


def test_a_limiter_that_starts_more_when_fewer_are_asked_of_it_is_said_to() -> None:
    """Both rates are told where they are far apart, the one under pressure alone where they are not."""
    far = told("depends_on_pressure", (0.1, 0, 0.3), (3.6, 2.5, 4.6))
    assert "under pressure (0.0 to 0.3) and 4 (2 to 5) a second when fewer are asked of it" in far
    assert "fewer" not in told("approximate", (5.0, 4.8, 5.2), (5.1, 4.8, 5.4))
