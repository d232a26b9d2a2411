"""A star through the real optics of several NIRSpec modes against its noiseless truth."""

from itertools import pairwise

import numpy as np
import pytest
from jwst.assign_wcs.nirspec import nrs_wcs_set_input
from stdatamodels.jwst import datamodels
from stdatamodels.jwst.transforms.models import Rotation3DToGWA

from jwst_fusion.adaptive_trace_model.slices import oversampled_position
from jwst_fusion.simulation.exposures import Noise, noiseless, paint
from jwst_fusion.simulation.psfs import pixel_psf
from jwst_fusion.simulation.reference_geometry import nirspec_exposure
from jwst_fusion.simulation.scenes import single_star
from jwst_fusion.steps.adaptive_trace_model import AdaptiveTraceModelStep

pytestmark = pytest.mark.slow

ROLL = 30.0
# The star stands in the middle of the field: the other slices are left out.
SLICES = range(8, 11)


@pytest.fixture(scope="module")
def star():
    scene = single_star(blue=0.6, red=5.3)
    return scene, scene.observe(pixel_psf(scene, roll=ROLL, source="aperture"))


@pytest.fixture
def single_rotations(monkeypatch):
    """Rotation by one angle, as within the prism, which stdatamodels 6.0.0 cannot evaluate."""
    evaluate = Rotation3DToGWA.evaluate

    def with_list(self, x, y, z, angles):
        return evaluate(self, x, y, z, np.atleast_2d(angles))

    monkeypatch.setattr(Rotation3DToGWA, "evaluate", with_list)


def interpolate_linearly(model):
    """Native data at the centres of twice as many rows, NaN between two slices."""
    position = oversampled_position(np.arange(2 * model.data.shape[0]), 2.0)
    lower = np.clip(np.floor(position).astype(int), 0, model.data.shape[0] - 2)
    share = (position - lower)[:, None]
    image = (1 - share) * model.data[lower] + share * model.data[lower + 1]
    image[model.regions[lower] != model.regions[lower + 1]] = np.nan
    return image


@pytest.mark.parametrize(
    ("grating", "filter_name", "detector", "wavelengths"),
    [
        ("G235H", "F170LP", "NRS2", (2.43, 3.16)),
        ("PRISM", "CLEAR", "NRS1", (0.6, 5.3)),
    ],
)
def test_star_between_the_pixels(
    star, data_dir, single_rotations, tmp_path, grating, filter_name, detector, wavelengths
):
    scene, observed = star
    folder = data_dir / "nirspec_ifu_refs"
    if not folder.is_dir():
        pytest.skip(f"no reference files in {folder}")
    native = nirspec_exposure(
        folder,
        ra=scene.ra,
        dec=scene.dec,
        roll=ROLL,
        grating=grating,
        filter_name=filter_name,
        detector=detector,
    )
    native.regions = np.where(np.isin(native.regions, SLICES), native.regions, 0)
    # Unflagged cosmic rays are neither the model's nor linear interpolation's business.
    paint(native, observed, noise=Noise(residues=0), seed=1)
    result = AdaptiveTraceModelStep(oversample=2.0).run(native)
    assert result.meta.cal_step.adaptive_trace_model == "COMPLETE"
    assert np.nanmin(result.wavelength) < wavelengths[0] + 0.02
    assert np.nanmax(result.wavelength) > wavelengths[1] - 0.02

    truth = noiseless(result, observed)
    linear = interpolate_linearly(native)
    inside = (result.wavelength > 0.65) & (result.wavelength < 5.25)
    used = inside & np.isfinite(result.trace_model + result.data + linear + truth)
    assert used.sum() > 3000
    # Each wavelength weighs the same, though the star is a hundred times brighter in the blue.
    for low, high in pairwise(np.linspace(*wavelengths, 6)):
        part = used & (result.wavelength >= low) & (result.wavelength < high)
        signal = np.sqrt(np.mean(truth[part] ** 2))
        noise = np.sqrt(np.mean(result.err[part] ** 2)) / signal
        error = np.sqrt(np.mean((result.data - truth)[part] ** 2)) / signal
        before = np.sqrt(np.mean((linear - truth)[part] ** 2)) / signal
        assert error < np.hypot(noise, 0.15)
        assert before > 1.5 * error

    result.save(tmp_path / "star.fits")
    with datamodels.open(tmp_path / "star.fits") as read:
        for label in (SLICES[0], SLICES[-1]):
            check_wcs(label, native, result, read)


def check_wcs(label, native, result, read):
    """The WCS is the same in memory and in the file, and the native one between the pixels."""
    y, x = (index[::397].astype(float) for index in np.nonzero(read.regions == label))
    old, made, saved = (nrs_wcs_set_input(model, label - 1) for model in (native, result, read))
    world = np.array(saved(x, y))
    np.testing.assert_allclose(world, made(x, y), rtol=1e-14)
    np.testing.assert_allclose(world, old(x, oversampled_position(y, 2.0)), rtol=1e-12)
    seen = np.isfinite(world).all(axis=0)
    assert seen.mean() > 0.9
    x_new, y_new = saved.backward_transform(*world[:, seen])
    np.testing.assert_allclose((x_new, y_new), made.backward_transform(*world[:, seen]), atol=1e-6)
    x_old, y_old = old.backward_transform(*world[:, seen])
    np.testing.assert_allclose(x_new, x_old, atol=1e-6)
    np.testing.assert_allclose(oversampled_position(y_new, 2.0), y_old, atol=1e-6)
