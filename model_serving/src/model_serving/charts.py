"""The error histogram as SVG."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from math import log10
from typing import Any

WIDTH, HEIGHT, BASE = 640, 160, 132


def error_histogram(histogram: Mapping[str, Any], threshold: float) -> str:
    """Counts over logarithmic bins of the training rows' errors, the threshold as a line; "" for no histogram.

    histogram: {"edges": [b + 1] ascending and positive, "counts": [b]}. Colours come from the style sheet.
    """
    edges, counts = histogram.get("edges") or [], histogram.get("counts") or []
    if len(edges) != len(counts) + 1 or not counts or edges[0] <= 0 or max(counts) <= 0:
        return ""
    low, high = log10(edges[0]), log10(max(edges[-1], threshold, edges[0] * 1.001))

    def x(value: float) -> float:
        return (log10(max(value, edges[0])) - low) / (high - low) * (WIDTH - 20) + 10

    top = max(counts)
    bars = []
    for left, right, count in zip(edges[:-1], edges[1:], counts, strict=True):
        height = count / top * (BASE - 12)
        css = "bar beyond" if left >= threshold else "bar"
        bars.append(
            f'<rect class="{css}" x="{x(left):.1f}" y="{BASE - height:.1f}" '
            f'width="{max(x(right) - x(left) - 0.5, 0.5):.1f}" height="{height:.1f}"/>'
        )
    line = x(threshold)
    labels = "".join(
        f'<text x="{x(value):.1f}" y="{BASE + 16}" text-anchor="{anchor}">{value:.3g}</text>'
        for value, anchor in ((edges[0], "start"), (edges[-1], "end"))
    )
    title = escape(f"Reconstruction errors of the training rows; threshold {threshold:.4g}")
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{title}"><title>{title}</title>'
        f'{"".join(bars)}<line class="threshold" x1="{line:.1f}" x2="{line:.1f}" y1="4" y2="{BASE}"/>'
        f'<text x="{line:.1f}" y="{BASE + 16}" text-anchor="middle">threshold {threshold:.3g}</text>{labels}</svg>'
    )
