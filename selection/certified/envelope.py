"""Upper bounds of a row's lead over what was picked, for many decisions at once.

The lead of a row with scores s over a decision's threshold g is Σ_x w_x h_x(s_x) - g, where
h_x(s) = (s - f_x) / (1 + D_x exp(-τ|s|)). Each target's scores are cut into bins. For each target,
bin and group of decisions, a table holds the largest w_x (h_x - c_x) in the bin over the group, and
a constant the group's largest Σ_x w_x c_x - g. Table entries and constant together then bound the
leads of a row over all decisions of the group: negative, and the row would not have been picked at
any of them. That is true for any c; with h_x of a typical score, the bounds are tight.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from selection.certified.trajectory import Float64, Int64, Trajectory
from selection.scores import Float32

BINS = 256
_EDGE = 1e-5  # of a bin's width: more than float32 misplaces a score by
_FAR = 700.0  # exp of more overflows


@dataclass(frozen=True, eq=False)
class Bins:
    """How scores are cut.

    Attributes:
        lowest: (T,) lower edge of the first bin.
        width: (T,) of each bin.
    """

    lowest: Float64
    width: Float64

    @classmethod
    def between(cls, lowest: Float64, highest: Float64) -> Bins:
        """Equal bins for each target; no score may lie outside."""
        return cls(lowest, np.maximum((highest - lowest) / BINS, np.finfo(np.float32).tiny))

    def of(self, block: Float32) -> npt.NDArray[np.uint8]:
        """(T, n) the bin of each score."""
        inverse = (1.0 / self.width[:, None]).astype(np.float32)
        places = (block - self.lowest[:, None].astype(np.float32)) * inverse
        return np.clip(places, 0, BINS - 1).astype(np.uint8)

    def edges(self) -> tuple[Float64, Float64]:
        """(T, BINS) least and largest score of each bin, generously."""
        spare = _EDGE * self.width[:, None] + 2.0**-22 * np.abs(self.lowest[:, None])
        low = self.lowest[:, None] + self.width[:, None] * np.arange(BINS)
        return low - spare, low + self.width[:, None] + spare


class Envelope:
    """The tables of some groups of decisions."""

    def __init__(
        self,
        trajectory: Trajectory,
        groups: list[Int64],
        bins: Bins,
        typical: Int64,
        share: Float64,
        scale: float,
    ) -> None:
        """Tabulate.

        Args:
            trajectory: The decisions.
            groups: Which of them belong together.
            bins: How scores are cut.
            typical: (T,) the bin of a typical row; bounds hold whatever it is.
            share: (T,) weights.
            scale: τ.
        """
        low, high = bins.edges()
        magnitudes = np.abs(low), np.abs(high)
        far = scale * np.maximum(*magnitudes)
        near = scale * np.where((low < 0) & (high > 0), 0.0, np.minimum(*magnitudes))
        targets, terms = np.arange(len(share)), len(share) + 1
        self._tables = np.empty((*low.shape, len(groups)), dtype=np.float32)
        self._constants = np.empty(len(groups), dtype=np.float32)
        for g, members in enumerate(groups):
            best, constant = np.full(low.shape, -np.inf), -np.inf
            for t in members.tolist():
                value = trajectory.values[t][:, None]
                log_d = trajectory.log_denominators[t][:, None]
                with np.errstate(over="ignore"):  # of such a weight nothing is left
                    # what helps counts at its largest weight in the bin, what hurts at its least
                    ratio = np.exp(log_d - np.where(high >= value, far, near))
                lead = share[:, None] * (high - value) / (1.0 + ratio)
                center = lead[targets, typical]
                np.maximum(best, lead - center[:, None], out=best)
                constant = max(constant, float(center.sum()) - float(trajectory.thresholds[t]))
            self._tables[:, :, g] = _upwards(best, terms)
            self._constants[g] = _upwards(np.array(constant), terms)
        self._counted = np.flatnonzero(share).tolist()

    def leads(self, binned: npt.NDArray[np.uint8]) -> Float32:
        """(n, groups) bounds, from the bins (T, n) of n rows."""
        total = np.empty((binned.shape[1], len(self._constants)), dtype=np.float32)
        total[:] = self._constants
        for x in self._counted:
            total += self._tables[x].take(binned[x], axis=0)
        return total


def _upwards(exact: Float64, terms: int) -> Float32:
    """Numbers so much larger that no float32 sum of so many is below the true one.

    A float32 sum of n terms is Σ a_i (1 + δ_i) with |δ_i| <= n·2^-24 (Higham 2002, section 4.2).
    """
    margin = 2.0**-22 * (terms + 2) * np.abs(exact)
    return (exact + margin).astype(np.float32)
