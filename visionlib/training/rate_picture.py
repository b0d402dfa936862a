"""The learning-rate range test as a picture: loss over rate, with the suggestion if there is one."""

import textwrap

import numpy as np
from matplotlib.figure import Figure

from visionlib.drawing.palette import CONTRAST, MAIN
from visionlib.training.rate_finder import RateFinding


def draw_rate_finding(finding: RateFinding) -> Figure:
    """Draw the loss over the rate, raw and smoothed, with the suggestion or the reason why there is none."""
    figure = Figure(figsize=(7.5, 4.6), layout="constrained")
    axes = figure.subplots()
    rates, smoothed = np.array(finding.rates), np.array(finding.smoothed)
    axes.plot(rates, finding.losses, color="0.6", lw=0.8, label="loss of each batch")
    axes.plot(rates, smoothed, color=MAIN, lw=2, label="smoothed")
    title = f"no suggestion: {finding.rule}"
    if finding.suggestion is not None:
        title = f"{finding.suggestion:.2g} is {finding.rule}"
        axes.axvline(finding.suggestion, color=CONTRAST, lw=1.5, ls="--", label=f"suggestion: {finding.suggestion:.2g}")
    axes.set_xscale("log")
    # Diverging raw losses would flatten the rest; the smoothed ones are cut off.
    low, high = float(smoothed.min()), float(smoothed.max())
    margin = 0.1 * max(high - low, 0.05 * high, 1e-6)
    axes.set_ylim(low - margin, high + margin)
    axes.set_xlabel("learning rate")
    axes.set_ylabel("training loss, nats")
    axes.set_title("\n".join(textwrap.wrap(title, 95)), loc="left", fontsize=9)
    axes.grid(color="0.92")
    figure.legend(loc="outside lower center", ncols=3, frameon=False)
    return figure
