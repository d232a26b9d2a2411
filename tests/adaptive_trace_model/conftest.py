"""A tilted, curved slice with a known trace, for the array-level tests."""

from dataclasses import dataclass

import numpy as np
import pytest
from scipy.special import erf


def pixel_gaussian(distance, sigma):
    """Gaussian of unit area integrated over pixels of width one."""
    width = np.sqrt(2) * sigma
    return 0.5 * (erf((distance + 0.5) / width) - erf((distance - 0.5) / width))


@dataclass
class SyntheticSlice:
    """Slice of 30 rows whose slit coordinate (native pixels) drifts by `drift` rows."""

    n_column: int = 600
    n_row: int = 30
    drift: float = 6.0
    center: float = 0.37
    sigma: float = 0.45
    background: float = 0.0
    flux: float = 1000.0

    def coordinate(self, position=None):
        x = np.arange(self.n_column)[:, None] / self.n_column
        rows = np.arange(self.n_row)[None] if position is None else position
        # The trace runs parallel to the grid at the right end.
        return rows - self.n_row / 2 + 0.5 - self.drift * (x - 0.5 * x**2) * (1 + 0.001 * rows)

    def spectrum(self):
        x = np.arange(self.n_column)
        lines = 1 - 0.6 * np.exp(-0.5 * ((x - 0.3 * self.n_column) / 3) ** 2)
        return self.flux * (1.2 - 0.4 * x / self.n_column) * lines

    def truth(self, coordinate):
        x = np.arange(self.n_column)[:, None] / self.n_column
        width = self.sigma * (1 + 0.3 * x)
        core = pixel_gaussian(coordinate - self.center, width)
        wings = pixel_gaussian(coordinate - self.center, 3 * width)
        return self.background + self.spectrum()[:, None] * (0.9 * core + 0.1 * wings)

    def observe(self, *, read=0.3, gain=0.02, seed=0):
        truth = self.truth(self.coordinate())
        error = np.sqrt(read**2 + gain * np.maximum(truth, 0))
        noise = np.random.default_rng(seed).standard_normal(truth.shape)
        return truth + error * noise, error


@pytest.fixture
def synthetic():
    return SyntheticSlice
