"""The headline's sentences."""

from reports.capacity.model import Interval, Sustained, Tps
from reports.capacity.sentences import any_limiter


def sustained(estimate: float, low: float, high: float) -> Sustained:
    return Sustained(estimate=estimate, low=low, high=high, pressure=3.0, seconds=20.0, admitted=60)


def test_a_limiter_that_starts_more_when_fewer_are_asked_of_it_is_said_to() -> None:
    """Both rates are told where they are far apart, the one under pressure alone where they are not."""
    unknown = Interval(None, None, None)
    far = Tps(
        unknown,
        unknown,
        "unknown",
        "not_explained",
        {},
        "depends_on_pressure",
        sustained(0.1, 0, 0.3),
        sustained(3.6, 2.5, 4.6),
    )
    near = Tps(
        unknown,
        unknown,
        "unknown",
        "not_explained",
        {},
        "approximate",
        sustained(5.0, 4.8, 5.2),
        sustained(5.1, 4.8, 5.4),
    )
    assert any_limiter(far) is not None
    assert "under pressure (0.0 to 0.3) and 4 (2 to 5) a second when fewer are asked of it" in str(any_limiter(far))
    assert "fewer" not in str(any_limiter(near))
