"""The pytest plugin: what the markers of a test ask for."""

import pytest

from chatquota.pytest_plugin import marked


def mark(*given: object, **settings: object) -> pytest.Mark:
    return pytest.mark.connect_emulator.with_args(*given, **settings).mark


def test_closest_marker_goes_over_the_others() -> None:
    """Settings of a test's class and module hold where its own marker has none."""
    assert marked([mark(rate=1), mark(rate=2, burst=3)]) == {"rate": 1, "burst": 3}


@pytest.mark.parametrize("given", ["rate=5", {"rate": 5}])
def test_setting_without_a_name_is_refused(given: object) -> None:
    """A marker with a text or a dict is told how it is written: it was passed over in silence."""
    with pytest.raises(pytest.UsageError, match=r"settings have names, as in connect_emulator\(rate=5"):
        marked([mark(given)])
