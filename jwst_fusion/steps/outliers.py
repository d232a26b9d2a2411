"""Outlier detection of jwst in a fifth of its memory, with the same result."""

import importlib.util
import logging
import time
from functools import partial

import numpy as np
from jwst.outlier_detection import OutlierDetectionStep, ifu
from jwst.stpipe import query_step_status, record_step_status

from jwst_fusion.steps.reuse import Reusable

__all__ = ["FrugalOutlierStep", "median_in_strips"]

log = logging.getLogger(__name__)

# Rows filtered at a time: stcal stacks one copy of them for each pixel of the kernel.
_STRIP = 128
_PATIENCE = 10.0  # seconds without a line on how far it is


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
        if self._guess_mode(input_data) != "ifu":
            return super().process(input_data)
        models = self.prepare_output(input_data)
        self._get_asn_id(input_data)
        models = _detection_in_strips().detect_outliers(
            models,
            self.save_intermediate_results,
            self.kernel_size,
            self.ifu_second_check,
            self.threshold_percent,
            self.make_output_path,
        )
        if query_step_status(models, "outlier_detection") not in ("SKIPPED", "FAILED"):
            record_step_status(models, "outlier_detection", True)
        return models


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


def _detection_in_strips():
    """
    Return jwst's module for integral field units with a median filter that goes in strips.

    It is a module of our own, made of the code of jwst: what others import stays as it is.
    """
    spec = importlib.util.find_spec(ifu.__name__)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    if hasattr(module, "medfilt"):
        module.medfilt = partial(median_in_strips, module.medfilt)
    else:
        log.info("This version of jwst filters in another way, which is left as it is")
    return module
