"""What is written on a thread of its own fails where it was asked for."""

import pytest

from harness.load.session.recorder import on_a_thread


def _full() -> None:
    raise OSError(28, "No space left on device")


def test_a_failure_on_the_thread_is_raised_once_and_printed_nowhere(capfd: pytest.CaptureFixture[str]) -> None:
    """A full disk reaches who asked for the conversion; no traceback of the thread is printed beside it."""
    with pytest.raises(OSError, match="No space left"):
        on_a_thread(_full)
    assert capfd.readouterr() == ("", "")
