"""Charts as SVG that takes its colours from the page and its width from the screen."""

from html import escape

import numpy as np

WIDTH, LEFT, RIGHT, TOP, ROW = 400, 40, 8, 8, 17
COLOURS = 8
STEPS = (0.01, 0.02, 0.05, 0.1, 0.2)


def short(name):
    """Return a name that leaves room for the chart."""
    return name.removesuffix("Detector")


def curves(names, shots, summaries, label, picked, ours):
    """Draw means over K, one line per method; intervals of those that are picked.

    summaries: {(method, K): Summary}. The page's buttons pick others.
    """
    height, bottom = 260, 226
    low = min(s.low if np.isfinite(s.low) else s.mean for s in summaries.values())
    high = max(s.high if np.isfinite(s.high) else s.mean for s in summaries.values())
    ticks = _ticks(low, high)
    y = _scale(ticks[0], ticks[-1], bottom, TOP)
    x = _scale(0, max(len(shots) - 1, 1), LEFT + 16, WIDTH - RIGHT - 16)
    parts = [_across(y(t), LEFT, f"{t:.2f}") for t in ticks]
    parts += [_text(x(i), bottom + 16, str(k), "middle") for i, k in enumerate(shots)]
    parts.append(_text((LEFT + WIDTH) / 2, bottom + 32, "support rows K", "middle"))
    for name in sorted(names, key=picked.__contains__):  # the picked on top
        number = names.index(name)
        shift = 1.2 * (number % COLOURS - COLOURS / 2)
        known = [i for i, k in enumerate(shots) if (name, k) in summaries]
        found = [summaries[name, shots[i]] for i in known]
        at = [(x(i) + shift, y(s.mean)) for i, s in zip(known, found, strict=True)]
        line = "M" + "L".join(f"{a:.1f} {b:.1f}" for a, b in at)
        bars = "".join(
            f"M{a:.1f} {y(s.low):.1f}V{y(s.high):.1f}"
            for (a, _), s in zip(at, found, strict=True)
            if np.isfinite(s.low)
        )
        points = "".join(f"M{a:.1f} {b:.1f}h0" for a, b in at)
        kind = f"curve c{number % COLOURS}{' ours' * (name in ours)}"
        parts.append(
            f'<g class="{kind}{" on" * (name in picked)}" data-method="{number}">'
            f'<title>{escape(name)}</title><path d="{line}"/>'
            f'<path class="bar" d="{bars}"/><path class="dot" d="{points}"/></g>'
        )
    return _svg(height, f"{label} against the number of support rows", parts)


def ranks(display, knn):
    """Draw mean ranks, best first; bars join what the tasks do not tell apart."""
    names = list(display.ranks_)
    left, edge = _names_width(names), WIDTH - 6 - 7 * len(display.groups_)
    x = _scale(1, max(display.ranks_.values()), left + 12, edge - 12)
    parts = []
    for place, (name, rank) in enumerate(display.ranks_.items()):
        y = TOP + ROW * (place + 0.5)
        parts.append(_name(left, y, name, name == knn))
        parts.append(_rule(y, left, edge))
        parts.append(_dots([x(rank)], [y], name == knn))
        beside = x(rank) > edge - 50
        anchor = ("end", -8) if beside else ("start", 8)
        parts.append(_text(x(rank) + anchor[1], y + 4, f"{rank:.1f}", anchor[0]))
    for i, group in enumerate(display.groups_):
        first, last = names.index(group[0]), names.index(group[-1])
        at, start = edge + 6 + 7 * i, TOP + ROW * first + 4
        end = TOP + ROW * (last + 1) - 4
        parts.append(f'<path class="group" d="M{at} {start:.1f}V{end:.1f}"/>')
    return _svg(2 * TOP + ROW * len(names), "Critical-difference diagram", parts)


def strips(tasks, knn):
    """Draw the score of every task, and medians; tasks: {method: [score]}."""
    names = sorted(tasks, key=lambda name: -np.median(tasks[name]))
    left, bottom = _names_width(names), TOP + ROW * len(names)
    every = np.concatenate([list(values) for values in tasks.values()])
    ticks = _ticks(every.min(), every.max())
    x = _scale(ticks[0], ticks[-1], left + 12, WIDTH - RIGHT - 8)
    parts = [_text(x(t), bottom + 16, f"{t:.2f}", "middle") for t in ticks]
    for place, name in enumerate(names):
        y = TOP + ROW * (place + 0.5)
        values = np.array(tasks[name])
        shift = np.linspace(-0.3, 0.3, len(values)) * ROW * (len(values) > 1)
        middle = x(np.median(values))
        parts += [_name(left, y, name, name == knn), _rule(y, left, WIDTH - RIGHT)]
        parts.append(_dots(x(values), y + shift, name == knn, "small"))
        parts.append(f'<path class="median" d="M{middle:.1f} {y - 7:.1f}v14"/>')
    return _svg(bottom + 22, "Score of every task", parts)


def costs(points, knn, ours):
    """Draw quality over cost, names in a column of their own.

    points: {method: (milliseconds, score)}.
    """
    names = sorted(points, key=lambda name: -points[name][1])
    height = max(240, ROW * len(names) + 40)
    bottom, edge = height - 34, WIDTH - _names_width(names) - 22
    cost = np.log10([max(points[name][0], 1e-3) for name in names])
    score = np.array([points[name][1] for name in names])
    ticks = _ticks(score.min(), score.max())
    y = _scale(ticks[0], ticks[-1], bottom, TOP + 6)
    first, last = np.floor(cost.min()), np.ceil(max(cost.max(), cost.min() + 0.1))
    x = _scale(first, last, LEFT + 8, edge - 16)
    parts = [_across(y(t), LEFT, f"{t:.2f}", edge + 4) for t in ticks]
    for power in np.arange(first, last + 1, 1 + (last - first > 3)):
        label = f"{10**power / 1000:g} s" if power >= 3 else f"{10**power:g} ms"
        parts.append(_text(x(power), bottom + 16, label, "middle"))
    parts.append(_text((LEFT + edge) / 2, bottom + 31, "per task", "middle"))
    dots = []
    places = _apart(y(score), ROW - 3, TOP + 6, height - 6)
    for name, a, b, place in zip(names, x(cost), y(score), places, strict=True):
        parts.append(
            f'<path class="leader" d="M{a + 4:.1f} {b:.1f}L{edge + 4} {b:.1f}'
            f'L{edge + 14} {place:.1f}h4"/>'
        )
        dots.append(_dots([a], [b], name == knn, "" if name in ours else "other"))
        bold = ' class="knn"' if name == knn else ""
        parts.append(_text(edge + 20, place + 4, escape(short(name)), "start", bold))
    dots.sort(key=lambda dot: "knn" in dot)  # on top of the others
    return _svg(height, "Quality against cost", parts + dots)


def _apart(wanted, gap, low, high):
    """Move ascending heights as little as they must to be `gap` apart."""
    places = np.array(wanted, float)
    for i in range(1, len(places)):
        places[i] = max(places[i], places[i - 1] + gap)
    over = max(places[-1] - high, 0.0)
    places[-1] -= over
    for i in range(len(places) - 2, -1, -1):
        places[i] = min(places[i], places[i + 1] - gap)
    return np.maximum(places, low + gap * np.arange(len(places)) - gap)


def _ticks(low, high):
    step = next((s for s in STEPS if (high - low) / s <= 5), STEPS[-1])
    first, last = np.floor(low / step + 1e-9), np.ceil(high / step - 1e-9)
    return step * np.arange(first, max(last, first + 1) + 1)


def _scale(low, high, start, end):
    span = high - low if high > low else 1.0
    return lambda value: start + (np.asarray(value) - low) / span * (end - start)


def _names_width(names):
    return 12 + 6.6 * max(len(short(name)) for name in names)


def _svg(height, label, parts):
    return (
        f'<svg role="img" aria-label="{escape(label)}" viewBox="0 0 {WIDTH} '
        f'{height:.0f}">{"".join(parts)}</svg>'
    )


def _text(x, y, text, anchor, kind=""):
    return f'<text{kind} x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{text}</text>'


def _name(left, y, name, marked):
    kind = ' class="knn"' if marked else ""
    return _text(left, y + 4, escape(short(name)), "end", kind)


def _across(y, left, label, right=WIDTH - RIGHT):
    return _rule(y, left, right) + _text(left - 4, y + 4, label, "end")


def _rule(y, left, right):
    return f'<path class="rule" d="M{left + 6:.1f} {y:.1f}H{right:.1f}"/>'


def _dots(x, y, marked, size=""):
    path = "".join(f"M{a:.1f} {b:.1f}h0" for a, b in zip(x, y, strict=True))
    kinds = " ".join(k for k in ("dot", size, "knn" if marked else "") if k)
    return f'<path class="{kinds}" d="{path}"/>'
