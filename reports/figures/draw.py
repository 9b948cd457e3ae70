"""Draws the figures that a run has something to show in; which those are is decided here."""

from harness.quotas.any_limiter.estimates import AnyLimiterEstimate
from harness.quotas.estimates import TpsEstimate
from reports.capacity.model import Capacity
from reports.figures import answered as answered_figures
from reports.figures import any_limiter as any_limiter_figures
from reports.figures import limits as limit_figures
from reports.figures import over_time as figures
from reports.figures import timeline as timeline_figures
from reports.figures.picture import Picture
from reports.figures.style import report_style
from reports.figures.what_happened import WhatHappened
from reports.run.declared import declared_value
from reports.run.tables import Curve, Varieties
from reports.run.timeline import Timeline


def draw_outcomes(answer: Capacity, view: Timeline) -> list[Picture]:
    """The figure of outcomes over time, with the rate."""
    if not sum(answer.outcomes.values()) or not len(view.begins):
        return []
    with report_style():
        return [figures.outcomes_over_time(view, answer)]


def draw_active_chats(answer: Capacity, view: Timeline) -> list[Picture]:
    """The figure of chats over time, with the quota."""
    if not sum(answer.outcomes.values()) or not len(view.begins):
        return []
    entry = declared_value(answer.declared, "active_chats")
    with report_style():
        return [figures.active_chats(view, answer, entry.value if entry is not None else None)]


def draw_limits(answer: Capacity, tps: TpsEstimate, any_limiter: AnyLimiterEstimate | None) -> list[Picture]:
    """The figures of the fitted bucket, and of what holds for any limiter."""
    if not sum(answer.outcomes.values()) or answer.run.first_call_at is None:
        return []
    pictures: list[Picture] = []
    with report_style():
        if tps.trace is not None and len(tps.trace.at):
            pictures.append(limit_figures.bucket_trace(tps, answer.run.first_call_at or 0.0))
        if tps.region is not None and tps.region.probability.size:
            pictures.append(limit_figures.feasible_region(tps))
        if any_limiter is not None:
            pictures += draw_any_limiter(answer, any_limiter)
    return pictures


def draw_any_limiter(answer: Capacity, found: AnyLimiterEstimate) -> list[Picture]:
    """The figures of what holds for any limiter, drawn in `report_style()`: those that have something to show."""
    first, pictures = answer.run.first_call_at or 0.0, []
    if found.safe is not None and found.safe.curve:
        pictures.append(any_limiter_figures.refused_share(found))
    if not answer.tps.exact and found.sustained is not None and len(found.sustained.batch_end) > 1:
        pictures.append(any_limiter_figures.batches(found, first))
    if found.burst_from_rest is not None and found.burst_from_rest.counts:
        pictures.append(any_limiter_figures.volleys(found.burst_from_rest))
    if not answer.tps.exact and found.contrary is not None and len(found.contrary.at):
        pictures.append(any_limiter_figures.contrary(found.contrary, first, answer.run.measured_s or 0.0))
    return pictures


def draw_samples(
    measured: Capacity, view: Timeline, happened: WhatHappened, curves: dict[str, tuple[Curve, Curve]]
) -> list[Picture]:
    """The figures that need no limit: what happened when, replies, latency, lateness."""
    if not sum(measured.outcomes.values()) or not len(view.begins):
        return []
    with report_style():
        pictures = [timeline_figures.run_timeline(view, measured, happened)]
        if measured.answered is not None and len(measured.answered.by_open_chats) > 1:
            pictures.append(answered_figures.replies(measured.answered))
        if measured.latency_ms:
            pictures.append(figures.latency(curves, measured))
        if measured.generator.measured_lateness_ms.p50 is not None:
            pictures.append(figures.lateness(view, measured))
    return pictures


def draw_varieties(found: Varieties) -> list[Picture]:
    """The figures of what became of the calls by what they asked for."""
    if not found.types:
        return []
    from reports.figures import variety as variety_figures  # loads pandas, beside the drawing of the others

    with report_style():
        pictures = [variety_figures.varieties(found)]
        if found.type_latency:
            pictures.append(variety_figures.variety_latency(found))
    return pictures
