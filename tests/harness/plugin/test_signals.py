"""What a run's endings do where Locust ends in two greenlets at once; real signals are tried end to end."""

import subprocess
import sys
from pathlib import Path

_PROBE = Path(__file__).with_name("two_ends_probe.py")


def test_the_second_greenlet_to_end_locust_ends_in_silence() -> None:
    """Its SystemExit would reach Python's own ending, which prints it as a traceback; the main greenlet has to leave."""
    done = subprocess.run([sys.executable, _PROBE], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.splitlines() == ["listener", "exit of the first", "listener", "exit of the main one"]
    assert "Traceback" not in done.stderr
