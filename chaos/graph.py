"""Figures over time as an SVG image: a panel each, one below the other. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from xml.sax.saxutils import escape

_WIDTH, _HEIGHT, _GAP = 800, 90, 34
_LEFT, _RIGHT, _TOP = 130, 20, 40
_STYLE = (
    "text{font:12px sans-serif;fill:#333}"
    "rect{fill:none;stroke:#ccc}"
    "polyline{fill:none;stroke:#1f6feb;stroke-width:1.5}"
    "line{stroke:#d0d7de;stroke-dasharray:2 3}"
)
# White behind it, or a reader with a dark page sees dark on dark.
_PAPER = '<path d="M0 0h{width}v{height}H0z" fill="#fff"/>'


def svg(
    title: str,
    times_s: Sequence[float],
    figures: Mapping[str, Sequence[float]],
    marks_s: Sequence[float] = (),
) -> str:
    """Return the image.

    Args:
        title: above it.
        times_s: of the samples, in seconds from the beginning.
        figures: values at those times, by name; each has a panel, from 0 or its least value on.
        marks_s: times to mark in all panels.
    """
    width = _LEFT + _WIDTH + _RIGHT
    height = _TOP + len(figures) * (_HEIGHT + _GAP)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}">',
        f"<style>{_STYLE}</style>",
        _PAPER.format(width=width, height=height),
        f'<text x="{_LEFT}" y="20">{escape(title)}</text>',
    ]
    end_s = max(times_s, default=0.0) or 1.0
    for number, (name, values) in enumerate(figures.items()):
        top = _TOP + number * (_HEIGHT + _GAP)
        lines += _panel(name, [t / end_s for t in times_s], values, top)
        lines += (
            f'<line x1="{_x(at / end_s)}" y1="{top}" x2="{_x(at / end_s)}" y2="{top + _HEIGHT}"/>'
            for at in marks_s
        )
    middle = f'<text x="{_LEFT + _WIDTH}" y="{height - 8}" text-anchor="end">'
    lines += [f"{middle}{end_s / 60:.0f} minutes</text>", "</svg>"]
    return "\n".join(lines) + "\n"


def _panel(name: str, shares: Sequence[float], values: Sequence[float], top: int) -> Iterator[str]:
    high = max(values, default=0.0)
    low = min(0.0, *values) if values else 0.0
    span = (high - low) or 1.0
    points = " ".join(
        f"{_x(share)},{top + _HEIGHT * (1 - (value - low) / span):.1f}"
        for share, value in zip(shares, values, strict=True)
    )
    end = f'x="{_LEFT - 8}" text-anchor="end"'
    yield f'<rect x="{_LEFT}" y="{top}" width="{_WIDTH}" height="{_HEIGHT}"/>'
    yield f'<text {end} y="{top + _HEIGHT // 2 + 4}">{escape(name)}</text>'
    yield f'<text {end} y="{top + 10}">{high:,.4g}</text>'
    yield f'<text {end} y="{top + _HEIGHT}">{low:,.4g}</text>'
    yield f'<polyline points="{points}"/>'


def _x(share: float) -> str:
    return f"{_LEFT + _WIDTH * share:.1f}"
