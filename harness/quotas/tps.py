"""The limit on calls a second, inferred from which calls were admitted and which were throttled."""

from __future__ import annotations

from harness.quotas.estimates import TpsEstimate
from harness.quotas.record import Attempts


def infer_tps(attempts: Attempts, *, seed: int = 0) -> TpsEstimate:
    """Rate, burst and kind of the limiter that explains `attempts`; deterministic for a given `seed`.

    Never raises for what a run may contain: where no limiter explains the record the verdict says so.
    """
    raise NotImplementedError
