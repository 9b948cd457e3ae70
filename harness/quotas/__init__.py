"""What limits explain a record of decisions? Pure: times and outcomes in, limits with intervals out."""

from harness.quotas.active_chats import infer_active_chats
from harness.quotas.any_limiter.estimates import AnyLimiterEstimate, LimiterClass
from harness.quotas.any_limiter.measure import measure_capacity
from harness.quotas.attempts import OUTCOMES, Attempts
from harness.quotas.estimates import ActiveChatsEstimate, Interval, Limiter, Region, TpsEstimate, Trace, Verdict
from harness.quotas.stages import Stage, StageKind
from harness.quotas.tps.infer import infer_tps

__all__ = [
    "OUTCOMES",
    "ActiveChatsEstimate",
    "AnyLimiterEstimate",
    "Attempts",
    "Interval",
    "Limiter",
    "LimiterClass",
    "Region",
    "Stage",
    "StageKind",
    "TpsEstimate",
    "Trace",
    "Verdict",
    "infer_active_chats",
    "infer_tps",
    "measure_capacity",
]
