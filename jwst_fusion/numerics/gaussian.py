"""Constants of the normal distribution."""

import numpy as np

__all__ = ["FWHM_OF_SIGMA"]

#: Full width at half maximum of a Gaussian of unit standard deviation.
FWHM_OF_SIGMA = 2.0 * np.sqrt(2.0 * np.log(2.0))
