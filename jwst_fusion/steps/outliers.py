"""Outlier detection of jwst in a fifth of its memory, with the same result."""

import logging
import threading
import time
from contextlib import contextmanager

import numpy as np
from jwst.outlier_detection import OutlierDetectionStep, ifu

from jwst_fusion.steps.reuse import Reusable

__all__ = ["FrugalOutlierStep", "median_in_strips"]

log = logging.getLogger(__name__)

# Rows filtered at a time: stcal stacks one copy of them for each pixel of the kernel.
_STRIP = 128
_PATIENCE = 10.0  # seconds without a line on how far it is
_lock = threading.Lock()  # of the swap of jwst's function; to other threads both give the same


class FrugalOutlierStep(Reusable, OutlierDetectionStep):
    """
    The outlier detection of jwst.

    Its median filter of a whole detector takes 8 GB with the default kernel; here it goes over
    strips of the detector, whose rows do not depend on rows farther away than half the kernel.
    """

    # The path that parameter files keep, wherever the class is defined.
    __module__ = "jwst_fusion.step"

    @classmethod
    def get_config_reftype(cls):
        """Return the type of the stock step's parameter file in CRDS."""
        return OutlierDetectionStep.get_config_reftype()

    def process(self, input_data):
        """
        Flag outliers.

        Parameters
        ----------
        input_data : association, ModelContainer or ModelLibrary
            The exposures.

        Returns
        -------
        ModelContainer or ModelLibrary
            The exposures with outliers flagged.
        """
        with _filter_in_strips():
            return super().process(input_data)


def median_in_strips(medfilt, image, kernel):
    """
    Filter an image strip by strip.

    Parameters
    ----------
    medfilt : callable
        Median filter of an image with a kernel; it may pad the image as it likes.
    image : array (y, x)
        The image, which may hold NaN.
    kernel : array_like of int
        Sides of the kernel, along y and x.

    Returns
    -------
    array (y, x)
        What ``medfilt(image, kernel)`` gives.
    """
    halo = int(max(kernel))
    strips = []
    begin = said = time.perf_counter()
    for start in range(0, len(image), _STRIP):
        now = time.perf_counter()
        if now - said > _PATIENCE:
            left = (now - begin) * (len(image) - start) / start
            log.info("Median filter: %d of %d rows, about %.0f s left", start, len(image), left)
            said = now
        first = max(start - halo, 0)
        strip = medfilt(image[first : start + _STRIP + halo], kernel)
        strips.append(strip[start - first : start - first + _STRIP])
    return np.concatenate(strips)


@contextmanager
def _filter_in_strips():
    """Let jwst's detection for integral field units filter in strips."""
    with _lock:
        whole = getattr(ifu, "medfilt", None)
        if whole is None:
            log.info("This version of jwst filters in another way, which is left as it is")
            yield
            return
        ifu.medfilt = lambda image, kernel: median_in_strips(whole, image, kernel)
        try:
            yield
        finally:
            ifu.medfilt = whole
