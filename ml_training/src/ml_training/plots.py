"""Pictures for MLflow: loss by epoch, errors with the threshold. Drawn without any display."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure

# Two hues that stay apart for colour-blind readers, and grey for what is only context.
BLUE, ORANGE, GREY = "#2563ab", "#c2570c", "#6b7280"


def loss_curve(history: Sequence[Mapping[str, Any]], best_epoch: int, path: Path) -> None:
    """Loss of the rows fitted and of the validation rows by epoch, the epoch that was kept marked."""
    figure, axes = _axes()
    epochs = [entry["epoch"] for entry in history]
    axes.plot(epochs, [entry["loss"] for entry in history], color=BLUE, label="rows fitted")
    validation = [entry["validation_loss"] for entry in history]
    if all(value is not None for value in validation):
        axes.plot(epochs, validation, color=ORANGE, label="validation rows (newer)")
    axes.axvline(best_epoch, color=GREY, linestyle=":", label=f"kept: epoch {best_epoch}")
    axes.set_xlabel("epoch")
    axes.set_ylabel("weighted mean squared error")
    axes.set_title("Loss by epoch")
    axes.legend(frameon=False)
    _save(figure, path)


def error_histogram(train_errors: np.ndarray, later_errors: np.ndarray, threshold: float, path: Path) -> None:
    """Distribution of the reconstruction error over both splits on a logarithmic scale."""
    figure, axes = _axes()
    everything = np.concatenate([train_errors, later_errors, [threshold]])
    low = max(float(everything.min()), 1e-6)
    edges = np.geomspace(low, max(float(everything.max()), low * 1.001), 61)
    for errors, colour, label in (
        (train_errors, BLUE, "split train"),
        (later_errors, ORANGE, "split later"),
    ):
        if len(errors):
            shares = np.full(len(errors), 1.0 / len(errors))
            axes.hist(np.maximum(errors, low), edges, weights=shares, color=colour, alpha=0.55, label=label)
    axes.axvline(threshold, color="black", linewidth=1.2, label=f"threshold {threshold:.3g}")
    axes.set_xscale("log")
    axes.set_xlabel("reconstruction error")
    axes.set_ylabel("share of rows")
    axes.set_title("Reconstruction error and threshold")
    axes.legend(frameon=False)
    _save(figure, path)


def grouped_bars(
    groups: Sequence[str],
    values: Mapping[str, Sequence[float]],
    ylabel: str,
    title: str,
    path: Path,
    baseline: float | None = None,
) -> None:
    """One bar a detector within each group; the first detector is ours and stands out."""
    figure = Figure(figsize=(max(7.0, 1.25 * len(groups) + 2.0), 4.2), layout="constrained")
    axes = figure.add_subplot()
    width = 0.85 / max(1, len(values))
    greys = matplotlib.colormaps["Greys"](np.linspace(0.35, 0.75, max(1, len(values) - 1)))
    for position, (name, heights) in enumerate(values.items()):
        places = np.arange(len(groups)) + (position - (len(values) - 1) / 2) * width
        colour = BLUE if position == 0 else greys[position - 1]
        axes.bar(places, heights, width, label=name, color=colour)
    if baseline is not None:
        axes.axhline(baseline, color=GREY, linestyle=":", linewidth=1)
    axes.set_xticks(np.arange(len(groups)), groups, rotation=20, ha="right")
    axes.set_ylim(0, 1.02)
    axes.set_ylabel(ylabel)
    axes.set_title(title)
    axes.spines[["top", "right"]].set_visible(False)
    # Beside the axes: in them it would hide bars.
    figure.legend(frameon=False, fontsize=8, loc="outside right upper")
    _save(figure, path)


def _axes() -> tuple[Figure, Any]:
    figure = Figure(figsize=(7.0, 4.2), layout="constrained")
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _save(figure: Figure, path: Path) -> None:
    # Without the date and the version of the software, so that the same data give the same file.
    metadata = {"Software": None} if path.suffix == ".png" else {"Date": None}
    figure.savefig(path, dpi=110, metadata=metadata)
