"""Check the voxels of a cube: whether they were measured, and whether they are negative.

The limits are those at which simulated scenes, with their truth known, go wrong.
"""

import numpy as np

from jwst_fusion.report.page import Finding

__all__ = ["check_voxels"]

# Part of the voxels that no longer is what both instruments measured.
ESTIMATED = 0.5
# Part of the voxels below minus five sigma.
NEGATIVE = 0.01


def check_voxels(product):
    """
    Look for voxels that are not measured, or negative.

    Parameters
    ----------
    product : `~jwst_fusion.report.fused.product.FusedProduct`
        The fused cube, or a joined one; its sample of channels is looked at.

    Yields
    ------
    Finding
    """
    flags = [np.asarray(product.dq[i]) for i in product.sample]
    flagged = np.mean([(plane != 0).mean() for plane in flags]) if flags else 1.0
    if flagged > ESTIMATED:
        yield Finding(
            "estimated",
            "caution",
            f"{100 * flagged:.0f} % of the voxels are not measured",
            "There, one of the instruments has no data; the subspace or the prior give the value.",
            "weights",
        )
    low = [np.mean(product.data[i] < -5 * product.err[i]) for i in product.sample]
    if low and np.mean(low) > NEGATIVE:
        yield Finding(
            "negative",
            "caution",
            "brightness is negative",
            f"{100 * np.mean(low):.1f} % of the voxels are more than five sigma below zero: a "
            "background that was over-subtracted, or a wrong PSF.",
            "spectra",
        )
