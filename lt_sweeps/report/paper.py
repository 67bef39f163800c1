"""Figures for a paper or a talk, drawn by matplotlib: a panel per model and data set, or per value of a label."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING, Any

from lt_sweeps.errors import Mistake
from lt_sweeps.report.curves import Curve, Point, differing, require_label
from lt_sweeps.report.paper_labels import label_points
from lt_sweeps.report.published import Published, about
from lt_sweeps.report.quantities import STABLE, Quantity, named
from lt_sweeps.report.scale import Scale, scaled
from lt_sweeps.report.statistics import Interval
from lt_sweeps.report.styles import Style, styles
from lt_sweeps.report.traces import GREY, dense_lines, dense_name
from lt_sweeps.report.views import View, choose_view
from lt_sweeps.report.wording import BESIDE

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FORMATS = ("pdf", "svg", "png")
MARKERS = {
    "circle": "o",
    "square": "s",
    "diamond": "D",
    "triangle-up": "^",
    "triangle-down": "v",
    "pentagon": "p",
    "triangle-left": "<",
    "triangle-right": ">",
}
DASHES = {"solid": "-", "dash": (0, (4, 1.6)), "dot": (0, (1, 1.4)), "dashdot": "-.", "longdash": (0, (8, 2))}
LABELS = "Percentages beside points: weights remaining."
COLUMNS = 3  # panels beside each other
NARROWEST = 0.6  # of a panel, as a share of the usual width
SPREADS = ("band", "bars", "seeds")
BOUNDS = {"=": "x", ">": 6, "<": 7}  # relation of a published number -> marker; 6 and 7 are arrows up and down


@dataclass(frozen=True)
class Look:
    """Sizes of a style; `width` is in inches, all others in points."""

    width: float  # of a figure with one panel
    font: float
    line: float
    marker: float
    height: float = 0.72  # of a panel, as a share of its width


LOOKS = {
    "paper": Look(width=3.25, font=8, line=1.1, marker=3.2),  # a column of a two-column page
    "talk": Look(width=8.0, font=18, line=2.4, marker=7.0, height=0.6),
}


def draw(
    curves: Sequence[Curve],
    what: str = "",
    *,
    facet: str | None = None,
    style: str = "paper",
    width: float | None = None,
    spread: str = "band",
    against: str | None = None,
    over: str | None = None,
    at: Sequence[float] | None = None,
) -> Figure:
    """Returns the figure of the quantity `what` over the weights that remain; "" is the test result.

    With `over` the axis is that label's numbers, or the cost, and points keep the shares `at`, in percent; None is the
    fewest weights that two numbers have, or over the cost all. `width` is that of the whole figure, in inches. `spread`
    shows 95 % t-intervals as a `band` or as `bars`, or a thin line for each of the `seeds`. `against` is a paper whose
    numbers are drawn beside ours. Panels are the models and data sets, or the values of the label `facet`. A curve has
    the same look in all panels. Raises Mistake for unknown names.
    """
    _require(style, LOOKS, "style")
    _require(spread, SPREADS, "spread")
    if facet is not None and facet == over:
        raise Mistake(f"--facet {facet} --over {over}: a label has panels or an axis, not both")
    sheet, panels = LOOKS[style], panels_of(curves, facet)
    quantities = [named(what or panel[0].metric.name, panel) for panel in panels.values()]
    if over is not None and against is not None:
        raise Mistake("--against: a paper's numbers are over the weights that remain: leave out --over")
    views = [
        choose_view(panel, quantity, over, at) for panel, quantity in zip(panels.values(), quantities, strict=True)
    ]
    lines = [line for view in views for line in view.lines]
    look = dict(zip(map(id, lines), styles([_without(line, facet) for line in lines]), strict=True))
    with settings(sheet):
        figure, axes, across = grid(len(panels), width, sheet)
        letters = int(
            sheet.height * figure.get_figwidth() / across * 72 / (0.5 * sheet.font)
        )  # that fit beside a panel
        for number, ((title, panel), quantity) in enumerate(zip(panels.items(), quantities, strict=True)):
            axis, view = axes[number], views[number]
            _panel(axis, view, [look[id(line)] for line in view.lines], quantity, sheet, spread)
            if against is not None:
                _published(axis, about(panel, against, what or panel[0].metric.name), sheet)
            axis.set_xlabel(view.across.title)
            if number % across == 0 or quantity.title != quantities[number - 1].title:
                axis.set_ylabel(fill(quantity.title, int(0.8 * letters)))
            if len(panels) > 1:
                axis.set_title(title)
        legend(figure, sheet)
        figure.draw_without_rendering()  # while these settings hold
        for axis, view, quantity in zip(axes, views, quantities, strict=True):
            if view.labelled:
                label_points(axis, view, quantity, 0.75 * sheet.font, sheet.marker)
    return figure


def panels_of(curves: Sequence[Curve], facet: str | None = None) -> dict[str, list[Curve]]:
    """Returns the curves of each panel by its title. Raises Mistake for an unknown label."""
    require_label("--facet", facet, curves)
    grounds, panels = {curve.ground for curve in curves}, dict[str, list[Curve]]()
    for curve in curves:
        words = [f"{curve.place[0]}, {curve.place[1]}"] if len(grounds) > 1 or facet is None else []
        words += [f"{facet}={curve.label(facet)}"] if facet is not None else []
        panels.setdefault(", ".join(words), []).append(curve)
    return panels


def _without(curve: Curve, facet: str | None) -> Curve:
    """The curve without the label `facet`, which the title of its panel names; all curves keep their control."""
    dropped = {facet} - {"control"}
    return replace(curve, labels={name: value for name, value in curve.labels.items() if name not in dropped})


def caption(
    curves: Sequence[Curve],
    what: str = "",
    facet: str | None = None,
    spread: str = "band",
    over: str | None = None,
    at: Sequence[float] | None = None,
) -> str:
    """Returns the caption of the figure that `draw` makes with these arguments."""
    panels = panels_of(curves, facet)
    quantities = [named(what or panel[0].metric.name, panel) for panel in panels.values()]
    views = [
        choose_view(panel, quantity, over, at) for panel, quantity in zip(panels.values(), quantities, strict=True)
    ]
    quantity = quantities[0]
    points = [point for view in views for point in view.points]
    counts = sorted({mean.n for point in points if (mean := quantity.mean(point))})
    n = f"n = {counts[0]}" if len(counts) == 1 else f"n = {counts[0]} to {counts[-1]} seeds" if counts else "no results"
    places = " and ".join(dict.fromkeys(" on ".join(curve.place) for curve in curves))
    text = f"{quantity.title} of {places}{views[0].words}, mean over seeds ({n}){_spread(views, quantity, spread)}."
    if quantity.metric:
        text += f" Filled markers: dense, and matching levels (within {quantity.metric.allowed}, non-inferior)."
    text += f" {LABELS}" if any(view.labelled for view in views) else ""
    text += "".join(f" {note}" for note in dict.fromkeys(view.note for view in views) if note)
    text += f" {BESIDE}" if any(point.keeps_all for point in points) else ""
    lost = sum(sum(point.unfinished.values()) for point in points)
    many = "1 training that did not finish is" if lost == 1 else f"{lost} trainings that did not finish are"
    return text + (f" {many} left out." if lost else "")


def _spread(views: Sequence[View], quantity: Quantity, spread: str) -> str:
    """How the spread over seeds is drawn, as a part of a sentence; empty where no point has an interval."""
    if spread == "seeds":
        return "; thin lines are seeds"
    lines = [(view.across, line) for view in views for line in view.lines]
    halves = [_halves((across.place(point), quantity.mean(point)) for point in line.points) for across, line in lines]
    kinds = {"bars" if _is_barred(spread, [x for x, *_ in of_line]) else "bands" for of_line in halves if of_line}
    return f"; {' and '.join(sorted(kinds))} are 95 % t-intervals" if kinds else ""


def encoded(figure: Figure, form: str) -> bytes:
    """Returns the bytes of a file of this format, which depend on the figure alone. Raises Mistake for an unknown one.

    A PDF embeds its fonts, and an SVG has letters as outlines, so that both look the same everywhere.
    """
    _require(form, FORMATS, "format")
    from matplotlib import style

    dates: Mapping[str, Any] = {"pdf": {"CreationDate": None}, "svg": {"Date": None}, "png": {}}
    out = BytesIO()
    fonts = {"pdf.fonttype": 42, "svg.fonttype": "path", "svg.hashsalt": "lt_sweeps"}
    with style.context(["default", fonts]):
        figure.savefig(out, format=form, dpi=300, metadata={**dates[form], "Creator": None} if form != "png" else {})
    return out.getvalue()


def _require(value: str, known: Any, name: str) -> None:
    if value not in known:
        raise Mistake(f"{name} {value!r}: choose one of {', '.join(known)}")


def place(out: Path | None, form: str | None, folder: Path, name: str) -> tuple[Path, str]:
    """Returns a figure's path and format: `out`, else a file in the folder; `form`, else what `out` ends in, else PDF.

    >>> place(None, None, Path("runs/a"), "accuracy"), place(Path("b.PNG"), None, Path("runs/a"), "accuracy")
    ((PosixPath('runs/a/accuracy.pdf'), 'pdf'), (PosixPath('b.PNG'), 'png'))
    """
    form = form or (out.suffix.lstrip(".").lower() if out and out.suffix else "pdf")
    return out or folder / f"{name}.{form}", form


def columns(panels: int, width: float | None, sheet: Look) -> int:
    """How many panels are beside each other, in a figure of this width: a narrow panel has no place for its titles.

    >>> columns(2, None, LOOKS["paper"]), columns(3, 6.75, LOOKS["paper"]), columns(3, 3.25, LOOKS["paper"])
    (2, 3, 1)
    """
    fitting = COLUMNS if width is None else int(width / (NARROWEST * sheet.width))
    return max(1, min(panels, COLUMNS, fitting))


def grid(panels: int, width: float | None, sheet: Look, *, shared: bool = False) -> tuple[Figure, list[Axes], int]:
    """Returns an empty figure, the axes of its panels, and how many of them are beside each other.

    `width` is that of the whole figure, in inches; `shared` axes have one range and ticks at the edges alone.
    """
    across = columns(panels, width, sheet)
    down = -(-panels // across)
    whole = width or sheet.width * across
    figure = blank(whole, down * sheet.height * whole / across)
    axes = list(figure.subplots(down, across, squeeze=False, sharex=shared, sharey=shared).flat)
    for axis in axes[panels:]:
        axis.remove()
    return figure, axes[:panels], across


def blank(width: float, height: float) -> Figure:
    """An empty figure of a size in inches."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def settings(sheet: Look) -> Any:
    """Context manager: matplotlib's own defaults, not the user's, with the sizes of a style."""
    try:
        import matplotlib
        import matplotlib.style
    except ImportError:
        raise Mistake("figures need matplotlib: pip install 'lt-sweeps[figures]'") from None
    ours = {
        "font.size": sheet.font,
        "axes.titlesize": sheet.font,
        "axes.labelsize": sheet.font,
        "legend.fontsize": 0.9 * sheet.font,
        "xtick.labelsize": 0.9 * sheet.font,
        "ytick.labelsize": 0.9 * sheet.font,
        "lines.linewidth": sheet.line,
        "lines.markersize": sheet.marker,
        "axes.linewidth": 0.5 * sheet.line,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "axes.grid.axis": "y",
        "grid.color": "#e4e6e9",
        "grid.linewidth": 0.5 * sheet.line,
        "axes.axisbelow": True,
    }
    return matplotlib.style.context(["default", ours])


def _panel(
    axis: Axes,
    view: View,
    look: Sequence[Style],
    quantity: Quantity,
    sheet: Look,
    spread: str,
) -> None:
    scale = scaled([*view.lines, *view.dense], quantity, view.across)
    axis.set_xscale("log")
    axis.set_xlim(*(10**end for end in scale.x))
    axis.set_ylim(*scale.y)
    axis.set_xticks(scale.ticks, scale.texts)
    axis.minorticks_off()
    _reference_lines(axis, view, quantity, scale, sheet)
    for style, points in zip(look, scale.shown, strict=False):  # without those of dense networks
        _curve(axis, style, points, quantity, sheet, spread, scale)
        if lost := [scale.at(point) for point in points if point.unfinished]:
            axis.plot(lost, [scale.y[0]] * len(lost), "x", color=style.colour, clip_on=False)


def _reference_lines(axis: Axes, view: View, quantity: Quantity, scale: Scale, sheet: Look) -> None:
    """Draws the dense networks, the bound of stability, or the zero of differences."""
    thin = 0.8 * sheet.line
    if quantity.beside_dense:
        for index, (name, mean) in dense_lines(view.beside, quantity).items():
            axis.plot(scale.reach, [mean.mean] * 2, color=GREY, linestyle=_dash(index), linewidth=thin, label=name)
        names = differing(view.dense)
        for index, curve in enumerate(view.dense):
            means = [quantity.mean(point) for point in curve.points]
            places = [(scale.at(p), mean.mean) for p, mean in zip(curve.points, means, strict=True) if mean]
            look: Any = {"linestyle": _dash(index), "linewidth": thin, "marker": ".", "label": dense_name(curve, names)}
            axis.plot(*zip(*places, strict=True), color=GREY, **look)
    elif quantity.stable:
        axis.axhline(STABLE, color=GREY, linestyle="--", linewidth=thin, label=f"stable below {STABLE:g} points")
    elif scale.y[0] < 0 < scale.y[1]:
        axis.axhline(0, color=GREY, linewidth=thin)


def _dash(index: int) -> Any:
    """The dash of a dense network."""
    return list(DASHES.values())[1 + index % (len(DASHES) - 1)]


def _halves(means: Iterable[tuple[float | None, Interval | None]]) -> list[tuple[float, float, float]]:
    """Place, mean and half the interval of the points that have a place and an interval."""
    return [(x, mean.mean, mean.half) for x, mean in means if x is not None and mean and mean.half is not None]


def _is_barred(spread: str, places: Sequence[float]) -> bool:
    """Whether intervals are bars: with `--spread bars`, and at a single place, where a band has no width."""
    return spread == "bars" or len({*places}) == 1


def _curve(
    axis: Axes, style: Style, points: Sequence[Point], quantity: Quantity, sheet: Look, spread: str, scale: Scale
) -> None:
    shown = [(scale.at(point), point, mean) for point in points if (mean := quantity.mean(point))]
    dash: Any = DASHES[style.dash]
    axis.plot([x for x, *_ in shown], [mean.mean for *_, mean in shown], color=style.colour, linestyle=dash, zorder=3)
    for full in (True, False):
        places = [(x, mean.mean) for x, point, mean in shown if _filled(point, quantity) is full]
        axis.plot(
            [x for x, _ in places],
            [y for _, y in places],
            linestyle="none",
            marker=MARKERS[style.symbol],
            color=style.colour,
            markerfacecolor=style.colour if full else "white",
            markeredgewidth=0.7 * sheet.line,
            zorder=4,
        )
    if shown or any(point.unfinished for point in points):
        axis.plot([], [], color=style.colour, linestyle=dash, marker=MARKERS[style.symbol], label=style.name)
    intervals = _halves((x, mean) for x, _, mean in shown)
    where, means, halves = ([entry[i] for entry in intervals] for i in range(3))
    if spread == "seeds":
        for seed in sorted({seed for _, point, _ in shown for seed in quantity.values(point)}):
            places = [(x, values[seed]) for x, point, _ in shown if seed in (values := quantity.values(point))]
            axis.plot(*zip(*places, strict=True), color=style.colour, alpha=0.35, linewidth=0.5 * sheet.line, zorder=1)
    elif _is_barred(spread, where):
        axis.errorbar(where, means, halves, linestyle="none", color=style.colour, capsize=0.6 * sheet.marker, zorder=2)
    else:
        low, high = [y - half for _, y, half in intervals], [y + half for _, y, half in intervals]
        axis.fill_between(where, low, high, color=style.colour, alpha=0.16, linewidth=0, zorder=1)


def _published(axis: Axes, numbers: Sequence[Published], sheet: Look) -> None:
    """Draws the numbers of a paper as crosses, with the paper's spread; a bound is an arrow."""
    for number in numbers:
        assert number.remaining is not None  # by `about`
        axis.plot(
            number.remaining,
            number.value,
            "k",
            marker=BOUNDS[number.relation],
            linestyle="none",
            label=number.paper,
            zorder=5,
        )
        if number.spread is not None:
            axis.errorbar(
                number.remaining,
                number.value,
                number.spread,
                color="k",
                capsize=0.6 * sheet.marker,
                linewidth=0.7 * sheet.line,
            )
        low, high = axis.get_ylim()
        pad = 0.05 * (high - low)
        axis.set_ylim(min(low, number.value - pad), max(high, number.value + pad))


def _filled(point: Point, quantity: Quantity) -> bool:
    return quantity.metric is None or point.level == 0 or point.matching


def legend(figure: Figure, sheet: Look) -> None:
    """Draws one legend for all panels, below them, in as many columns as fit; the figure grows by its lines."""
    entries: dict[str, Any] = {}
    for axis in figure.axes:
        for handle, label in zip(*axis.get_legend_handles_labels(), strict=True):
            entries.setdefault(label, handle)
    if len(entries) < 2:
        return
    letter = 0.9 * sheet.font / 72  # height of a letter in inches
    fitting = int(figure.get_figwidth() / (letter * (0.55 * max(map(len, entries)) + 5)))
    columns = max(1, min(len(entries), fitting))
    lines = -(-len(entries) // columns)
    figure.set_figheight(figure.get_figheight() + letter * (1.7 * lines + 0.5))
    figure.legend(entries.values(), entries.keys(), loc="outside lower center", ncols=columns, frameon=False)
