"""The part of the page that explains its terms: how to read this."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from lt_sweeps.metrics import ACCURACY, Metric
from lt_sweeps.report.curves import Curve, closest, sparsest_matching
from lt_sweeps.report.wording import MATCHING, UNDECIDED, WORSE

SEPARATE = """Two close means are no evidence of it. Each level is tested separately, without a correction for how many
there are, on the test {results} shown here, so that the sparsest matching level is a little optimistic."""
OPEN = """Every other level: its interval is too wide for its number of seeds, and more seeds may decide. From two seeds
on each verdict is possible; one seed has no interval and decides nothing."""
INTERVAL = """Two-sided 95 % t-interval of the mean over n seeds, in brackets. One seed has none. (In summary.md ± is
the standard deviation over seeds.)"""
EXACT = """ An interval of width zero means that the seeds agree exactly, as they may on a small test set, not that the
difference is certain."""
PAIRED = """A difference is taken between two runs of the same seed and then averaged over the seeds that finished both:
each level against its dense network, each ticket against its control at the same level."""
STOPPED = "Test {results} are those at that step; the test set chose nothing."
ENDED = """Where nothing, or not in every run, was held out for validation, {results} are those at the end of training;
the axis says which."""
COUNTED = "Percent of the weights that the recipe counts, which need not all be prunable. Dense is 100."
LEFT_OUT = """Seeds that diverged, collapsed (a layer lost all its weights), were blocked by one that did, failed or are
missing are counted in the notes and left out of every mean, which is then a mean of the survivors."""
CLOSEST = """Of levels of which none is matching, the one that loses least at the worse end of the 95 % interval of its
difference to dense: what it may lose is bounded best, though another's mean may be better."""


def terms(all_curves: Sequence[Curve]) -> str:
    """The terms that a page of these curves uses, each with what it means."""
    levels = [point for curve in all_curves for point in curve.points]
    metrics = list(dict.fromkeys(curve.metric for curve in all_curves)) or [ACCURACY]
    results = "accuracies" if metrics == [ACCURACY] else "results"
    has_closest = any(sparsest_matching(curve) is None and closest(curve) is not None for curve in all_curves)
    exact = any(point.level and point.to_dense and point.to_dense.half == 0 for point in levels)
    meanings = {
        **{word.capitalize(): text for word, text in _verdicts(metrics, results).items()},
        **({"Closest": CLOSEST} if has_closest else {}),
        "Interval": INTERVAL + (EXACT if exact else ""),
        "Paired": PAIRED,
        "Early stop": "The step of least validation loss. "
        + (STOPPED if all(curve.at_early_stop for curve in all_curves) else ENDED).format(results=results),
        "Weights remaining": COUNTED,
        "Left out": LEFT_OUT,
    }
    items = "".join(f"<dt>{term}</dt><dd>{escape(text)}</dd>\n" for term, text in meanings.items())
    return f"<section>\n<h2>How to read this</h2>\n<dl>\n{items}</dl>\n</section>"


def _verdicts(metrics: Sequence[Metric], results: str) -> dict[str, str]:
    """What each verdict means: the three that a level can have."""
    shown, below = ([_ends(metric, better) for metric in metrics] for better in (False, True))
    return {
        MATCHING: f"A level is matching when {'; '.join(shown)} (non-inferiority). {SEPARATE.format(results=results)}",
        WORSE: f"A level is worse when {'; '.join(below)}.",
        UNDECIDED: OPEN,
    }


def _ends(metric: Metric, better: bool) -> str:
    """Where the worse or the better end of an interval must lie: within the margin, or beyond it."""
    end = "lower" if metric.higher != better else "upper"
    beside = "above" if metric.higher != better else "below"
    which = "" if metric is ACCURACY else f" in {metric.title}"
    margin = metric.allowed.replace("its value", "the dense networks' mean")
    what = f"the {end} end of the 95 % interval of its difference to dense{which}"
    return f"{what} lies {beside} {'-' if metric.higher else ''}{margin}"
