"""The loss of a network while its learning rate rises."""

from typing import TYPE_CHECKING

from transferkit.plots.style import color_of, new_axes, plot_texts, quiet_frame

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure


def draw_learning_rates(table: "pd.DataFrame", suggestion: float | None, *, language: str = "en") -> "Figure":
    """Draw a learning-rate range test; see `transferkit.find_learning_rate`.

    Parameters
    ----------
    table : DataFrame
        With the columns ``rate``, ``loss`` and ``smoothed``.
    suggestion : float, optional
        Where a line is drawn.
    language : {"en", "ko"}, default "en"
        Of the labels.
    """
    with plot_texts(language) as say:
        ax = new_axes(6.4, 4.0)
        ax.plot(table["rate"], table["loss"], color=color_of(0), linewidth=0.8, alpha=0.4, label=say("one batch"))
        ax.plot(table["rate"], table["smoothed"], color=color_of(0), linewidth=1.8, label=say("smoothed"))
        if suggestion is not None:
            label = say("suggested: {rate:.1e}", rate=suggestion)
            ax.axvline(suggestion, color=color_of(1), linewidth=1.2, linestyle=(0, (4, 2)), label=label)
        low, high = table["smoothed"].min(), table["loss"].iloc[: max(1, len(table) // 2)].max()
        ax.set_ylim(
            low - 0.1 * (high - low + 1e-3), high + 0.3 * (high - low + 1e-3)
        )  # what diverges leaves the picture
        ax.set_xscale("log")
        ax.set_xlabel(say("Learning rate"))
        ax.set_ylabel(say("Loss"))
        quiet_frame(ax, grid="y")
        ax.legend(loc="best", fontsize="small")
    return ax.figure
