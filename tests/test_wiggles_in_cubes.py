"""The trace model does what it is for: single-spaxel spectra of cubes lose their wiggles."""

import numpy as np
import pytest

from jwst_fusion.metrics.wiggles import (
    aperture_spectrum,
    brightest_spaxels,
    measure_wiggles,
)
from jwst_fusion.simulation import crds_offline
from jwst_fusion.simulation.cube_parameters import write_nirspec_cube_parameters
from jwst_fusion.simulation.observation import DITHERS, simulate_exposures
from jwst_fusion.simulation.scenes import single_star
from jwst_fusion.steps.adaptive_trace_model import AdaptiveTraceModelStep

pytestmark = pytest.mark.slow

BLUE, RED = 1.75, 1.95  # micrometre: the steep end of the traces, several periods


def build(models, parameters):
    from jwst.cube_build import CubeBuildStep

    with crds_offline():
        result = CubeBuildStep.call(
            models, override_cubepar=parameters, wavemin=BLUE, wavemax=RED, save_results=False
        )
    return np.array(result[0].data, float)


def centre_of(cube):
    seen = np.isfinite(cube).mean(axis=0) > 0.5
    image = np.full(seen.shape, np.nan)
    image[seen] = np.nanmedian(cube[:, seen], axis=0)
    peak = np.unravel_index(np.nanargmax(image), image.shape)
    rows, columns = np.indices(image.shape)
    near = np.hypot(rows - peak[0], columns - peak[1]) < 4
    near &= np.isfinite(image)
    weight = image[near] / image[near].sum()
    return float(np.sum(weight * rows[near])), float(np.sum(weight * columns[near]))


@pytest.fixture(scope="module")
def cubes(quiet_logs, tmp_path_factory):
    """Native and oversampled cubes of a bright star, two dithers, as arrays."""
    folder = tmp_path_factory.mktemp("star")
    exposures = simulate_exposures(folder, single_star(peak=40.0), dithers=DITHERS[::2])
    parameters = write_nirspec_cube_parameters(folder / "cubepar.fits")
    native = build(list(exposures), parameters)
    traced = [
        AdaptiveTraceModelStep.call(path, oversample=3.0, save_results=False) for path in exposures
    ]
    assert all(model.meta.cal_step.adaptive_trace_model == "COMPLETE" for model in traced)
    return native, build(traced, parameters)


def test_wiggles_fall_at_least_fourfold(cubes):
    amplitude = []
    for cube in cubes:
        # each cube has its own grid, so its own brightest spaxels
        spaxels = brightest_spaxels(cube, 20)
        reference = aperture_spectrum(cube, centre_of(cube), 3.0)
        amplitude.append(measure_wiggles(cube, reference, spaxels).mean)
    before, after = amplitude
    print(f"half-amplitude {100 * before:.2f} % -> {100 * after:.2f} %")
    assert before > 0.03
    assert after <= before / 4


def test_flux_in_a_box_is_kept(cubes):
    spectra = [aperture_spectrum(cube, centre_of(cube), 3.0) for cube in cubes]
    # a bad pixel or cosmic-ray residue in the native cube spoils single channels: bins of 20
    bins = [
        np.nanmedian((spectra[1] / spectra[0])[start : start + 20])
        for start in range(0, len(spectra[0]) - 20, 20)
    ]
    print(f"flux ratio per bin {np.min(bins):.4f} to {np.max(bins):.4f}")
    assert abs(np.median(bins) - 1) < 0.005
    assert np.percentile(np.abs(np.array(bins) - 1), 90) < 0.005
