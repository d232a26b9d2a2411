"""Child process of the benchmark, in an environment with space-raccoon: clean spaxels of a cube."""

import json
import sys
import time
import warnings

import matplotlib as mpl

mpl.use("Agg")

import numpy as np
from raccoon import WiggleCleaner


def main():
    """Clean the cube named by the arguments: file in, file out (npz)."""
    source, target = sys.argv[1:]
    given = np.load(source)
    warnings.simplefilter("ignore")
    start = time.process_time()
    # Ångström, as in its example; a second-order polynomial takes up the slow change of the PSF
    cleaner = WiggleCleaner(
        given["wavelength"] * 1e4,
        given["data"],
        given["err"],
        continuum_diff_polynomial_order=2,
    )
    # Settings of the workflow that space-raccoon is tested with: with the defaults of clean_cube,
    # n_frequency=1, it refuses to run.
    data, err, cleaned = cleaner.clean_cube(
        wiggle_detection_sigma_threshold=5.0,
        wiggle_detection_variance_ratio_threshold=0.2,
        n_amplitude=10,
        n_frequency=7,
        cleaning_mask=given["mask"],
        init_peak_detection_proximity_threshold=200,
        aperture_radius=4,
        annulus_outer_radius=5,
        annulus_inner_radius=3,
        outlier_rejection_method="fdr",
        fdr_alpha=0.01,
        fdr_outlier_max_fraction=0.15,
        sigma_clip_sigma=3,
        sigma_clip_max_iterations=20,
        fit_full_model=True,
        plot=False,
        verbose=False,
    )
    np.savez(target, data=data, err=err, wavelength=given["wavelength"])
    print(json.dumps({"cleaned": int(np.sum(cleaned)), "cpu": time.process_time() - start}))


if __name__ == "__main__":
    main()
