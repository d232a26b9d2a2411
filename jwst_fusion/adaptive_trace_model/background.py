r"""Background of each detector column: a straight line along the slit, :math:`b_0 + b_1 s`.

Arrays are (column, row). The position :math:`s` runs from -1 to 1 over the slit.
"""

import numpy as np

__all__ = ["Lines", "first_background", "line_values"]

#: Rounds of reweighting. Twice as many change fluxes by less than 0.4 of their error, in crowded
#: slices by 0.9.
_ROUNDS = 8
#: Tukey's limit for outliers, in units of the rank of the residuals below.
_TUKEY = 4.0
#: Rank of the absolute residuals that stands for their spread: sources may cover the others.
_RANK = 0.4
#: Added to the sums of weights, relative to them: keeps columns with hardly any pixels solvable.
_TINY = 1e-6
#: Stands for zero where its square must not vanish.
_ZERO = 1e-100


def line_values(line, position):
    """
    Evaluate the background.

    Parameters
    ----------
    line : ndarray
        Level and slope of each column, shape ``(2, column)``.
    position : ndarray
        Positions from -1 to 1, shape ``(column, row)``.

    Returns
    -------
    ndarray
        Shape ``(column, row)``.
    """
    return line[0][:, None] + line[1][:, None] * position


class Lines:
    """
    Weighted least-squares fit of one line per column.

    Parameters
    ----------
    weight : ndarray
        Weights, 0 for pixels that do not count, shape ``(column, row)``.
    position : ndarray
        Positions from -1 to 1, same shape.
    precision : ndarray, optional
        Inverse variance with which the slope is expected to be zero, shape ``(column,)``.
    """

    def __init__(self, weight, position, precision=0.0):
        self.weight = weight
        self.moment = weight * position
        self._sum = np.sum(weight, axis=1)
        self._first = np.sum(self.moment, axis=1)
        self._second = np.sum(self.moment * position, axis=1) + precision
        tiny = _TINY * self._sum + _ZERO
        self._sum = self._sum + tiny
        self._second = self._second + tiny
        self._determinant = self._sum * self._second - self._first**2

    def fit(self, data):
        """
        Fit the lines.

        Parameters
        ----------
        data : ndarray
            Shape ``(column, row)``, finite.

        Returns
        -------
        ndarray
            Level and slope, shape ``(2, column)``.
        """
        zeroth = np.sum(self.weight * data, axis=1)
        first = np.sum(self.moment * data, axis=1)
        level = (self._second * zeroth - self._first * first) / self._determinant
        slope = (self._sum * first - self._first * zeroth) / self._determinant
        return np.stack([level, slope])

    def gain(self):
        """
        Derivatives of level and slope to the data.

        Returns
        -------
        ndarray
            Shape ``(2, column, row)``.
        """
        whole, first, second, determinant = (
            value[:, None] for value in (self._sum, self._first, self._second, self._determinant)
        )
        level = (second * self.weight - first * self.moment) / determinant
        slope = (whole * self.moment - first * self.weight) / determinant
        return np.stack([level, slope])


def first_background(data, good, position):
    """
    Find the line under each column robustly, whatever stands out of it, and to which side.

    Parameters
    ----------
    data : ndarray
        Shape ``(column, row)``, finite.
    good : ndarray of bool
        Pixels that may be used.
    position : ndarray
        Positions from -1 to 1, shape ``(column, row)``.

    Returns
    -------
    ndarray
        Level and slope, shape ``(2, column)``.
    """
    rank = np.clip((_RANK * good.sum(axis=1)).astype(np.intp), 0, data.shape[1] - 1)[:, None]
    # An outlier of 1e30 would cost the other pixels all their digits.
    limit = np.abs(data)
    limit[~good] = np.inf
    limit = np.partition(limit, np.unique(rank), axis=1)
    typical = np.take_along_axis(limit, rank, axis=1)
    typical = np.where(np.isfinite(typical), typical, 0.0)
    weight = (good & (np.abs(data) <= 1e8 * typical)).astype(float)
    for _ in range(_ROUNDS):
        line = Lines(weight, position).fit(data)
        residual = np.abs(data - line_values(line, position))
        residual[~good] = np.inf
        spread = np.take_along_axis(np.partition(residual, np.unique(rank), axis=1), rank, axis=1)
        spread = np.where(np.isfinite(spread) & (spread > 0), spread, 1.0)
        square = np.square(np.minimum(residual / (_TUKEY * spread), 1.0))
        weight = np.where(good, (1 - square) ** 2, 0.0)
    return line
