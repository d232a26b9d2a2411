"""Simulated products: geometry that inverts, statistics as declared, files that jwst opens."""

import numpy as np
import pytest
from jwst.assign_wcs import nirspec
from stdatamodels.jwst import datamodels
from stdatamodels.jwst.datamodels import dqflags

from jwst_fusion.psf import PsfCube, chebyshev_nodes
from jwst_fusion.simulation import crds_offline
from jwst_fusion.simulation.builtin_geometry import GRATINGS
from jwst_fusion.simulation.cube_parameters import write_nirspec_cube_parameters
from jwst_fusion.simulation.exposures import (
    Noise,
    builtin_exposure,
    paint,
    repoint,
)
from jwst_fusion.simulation.observation import simulate_images
from jwst_fusion.simulation.reference_geometry import nirspec_exposure
from jwst_fusion.simulation.scenes import nebula, single_star

POINTING = {"ra": 83.8, "dec": -5.4, "roll": 30.0}


def narrow_psf(scale=0.02, size=41):
    y, x = np.mgrid[:size, :size] - size // 2
    kernel = np.exp(-0.5 * (x**2 + y**2) / 2.5**2)
    data = np.repeat(kernel[None] / kernel.sum(), 2, axis=0)
    return PsfCube(data, chebyshev_nodes(0.6, 5.3, 2), scale, "test")


@pytest.fixture(scope="module")
def exposure():
    return builtin_exposure(**POINTING)


@pytest.mark.parametrize(
    ("grating", "filter_name", "detector"),
    [
        ("G140H", "F100LP", "NRS2"),
        ("G140M", "F070LP", "NRS1"),
        ("G235M", "F170LP", "NRS1"),
        ("G395H", "F290LP", "NRS1"),
    ],
)
def test_builtin_geometry_of_every_kind(grating, filter_name, detector):
    model = builtin_exposure(
        **POINTING, grating=grating, filter_name=filter_name, detector=detector
    )
    assert set(np.unique(model.regions)) == set(range(31))
    y, x = np.nonzero(model.regions)
    _, _, wavelength = model.meta.wcs(x.astype(float), y.astype(float))
    blue, red, _ = GRATINGS[(grating, filter_name)]
    assert np.all((wavelength >= blue - 1e-9) & (wavelength <= red + 1e-9))


def test_builtin_transforms_invert_and_regions_hold_thirty_rows(exposure):
    slicer = exposure.meta.wcs.get_transform("detector", "slicer")
    for number in (1, 15, 30):
        y, x = (a[::997].astype(float) for a in np.nonzero(exposure.regions == number))
        transform = slicer.selector[number]
        back = transform.inverse(*transform(x, y))
        np.testing.assert_allclose(back, (x, y), atol=1e-6)
    rows = np.sum(exposure.regions == 7, axis=0)
    assert np.median(rows[rows > 0]) in (30, 31)


def test_slices_are_numbered_as_in_the_instrument(exposure):
    slicer = exposure.meta.wcs.get_transform("detector", "slicer")
    across = [float(slicer.selector[n](1000.0, 1000.0)[0]) for n in range(1, 31)]
    np.testing.assert_allclose(np.sort(np.diff(np.sort(across))), 8e-4, atol=2e-5)
    assert across[0] == pytest.approx(4e-4, abs=1e-5)
    assert across[1] == pytest.approx(-4e-4, abs=1e-5)
    # what cube_build takes for the width of a slice
    assert abs(across[0] - across[2]) == pytest.approx(8e-4, abs=1e-5)


def test_scale_on_the_sky_is_a_tenth_of_an_arcsec(exposure):
    wcs = nirspec.nrs_wcs_set_input(exposure, 14)
    (x0, x1), (y0, y1) = wcs.bounding_box
    column, row = (x0 + x1) / 2, (y0 + y1) / 2
    ra, dec, _ = wcs(np.full(2, column), row + np.array([0.0, 1.0]))
    step = np.hypot(np.diff(ra) * np.cos(np.radians(dec[0])), np.diff(dec)) * 3600
    assert step[0] == pytest.approx(0.1, rel=1e-3)


def test_repoint_moves_the_sky_and_keeps_the_wavelengths(exposure):
    model = exposure.copy()
    row = np.flatnonzero(model.regions[:, 1000] == 8)[10]
    before = model.meta.wcs(1000.0, float(row))
    repoint(model, POINTING["ra"], POINTING["dec"] + 1 / 3600, POINTING["roll"])
    after = model.meta.wcs(1000.0, float(row))
    assert (after[1] - before[1]) * 3600 == pytest.approx(1.0, abs=1e-3)
    assert after[2] == before[2]
    y, x = (a[::501].astype(float) for a in np.nonzero(model.regions))
    ra, dec, _ = model.meta.wcs(x, y)
    corners = np.array(model.meta.wcsinfo.s_region.split()[2:], float).reshape(-1, 2)
    assert corners[:, 0].min() - 3e-6 <= ra.min() <= ra.max() <= corners[:, 0].max() + 3e-6
    assert corners[:, 1].min() - 3e-6 <= dec.min() <= dec.max() <= corners[:, 1].max() + 3e-6


def test_noise_and_flags_are_as_declared(exposure):
    model = exposure.copy()
    scene = nebula()
    noise = Noise(residues=0, bad_fraction=0.02, bad_clusters=50)
    truth = paint(model, scene.observe(narrow_psf()), noise=noise, seed=3)
    good = model.dq == 0
    pulls = (model.data[good] - truth[good]) / model.err[good]
    assert np.std(pulls) == pytest.approx(1.0, abs=0.01)
    assert np.mean(pulls) == pytest.approx(0.0, abs=0.01)
    variance = model.var_rnoise + model.var_poisson + model.var_flat
    np.testing.assert_allclose(np.sqrt(variance[good]), model.err[good], rtol=1e-5)
    sky = np.isfinite(truth)
    assert np.all(np.isnan(model.data[~good]))
    assert np.mean(~good[sky]) == pytest.approx(0.02, abs=0.003)
    assert np.all(model.dq[~sky] & dqflags.pixel["NON_SCIENCE"])
    assert not np.any(model.dq[sky] & dqflags.pixel["NON_SCIENCE"])


def test_images_open_as_i2d_with_their_wcs(tmp_path):
    paths = simulate_images(
        tmp_path, nebula(field=4.0), filters=("F187N",), side=2.0, psf=narrow_psf()
    )
    with datamodels.open(paths[0]) as model:
        assert isinstance(model, datamodels.ImageModel)
        assert model.meta.bunit_data == "MJy/sr"
        assert model.meta.instrument.filter == "F187N"
        ny, nx = model.data.shape
        ra, dec = model.meta.wcs((nx - 1) / 2, (ny - 1) / 2)
        assert (ra, dec) == pytest.approx((83.8187, -5.4083), abs=1e-9)
        assert np.all(model.err > 0)


@pytest.mark.slow
def test_jwst_builds_a_cube_whose_star_is_where_it_was_put(tmp_path):
    from jwst.cube_build import CubeBuildStep

    scene = single_star(ra=POINTING["ra"], dec=POINTING["dec"])
    model = builtin_exposure(**POINTING, grating="G235M")
    paint(model, scene.observe(narrow_psf()), noise=Noise.none())
    parameters = write_nirspec_cube_parameters(tmp_path / "cubepar.fits")
    with crds_offline():
        cube = CubeBuildStep.call(
            [model], override_cubepar=parameters, wavemin=1.9, wavemax=2.1, save_results=False
        )[0]
    image = np.nansum(cube.data[20:-20], axis=0)
    y, x = np.indices(image.shape)
    ra, dec, _ = cube.meta.wcs(
        np.sum(x * image) / image.sum(), np.sum(y * image) / image.sum(), 30.0
    )
    east = (ra - scene.ra) * 3600 * np.cos(np.radians(scene.dec))
    assert east == pytest.approx(scene.sources[0].east, abs=0.01)
    assert (dec - scene.dec) * 3600 == pytest.approx(scene.sources[0].north, abs=0.01)
    flux = np.nanmedian(np.nansum(cube.data, axis=(1, 2))[20:-20]) * 0.01
    expected = np.interp(2.0, scene.wavelength, scene.spectra[0]) * scene.sources[0].flux
    assert flux == pytest.approx(expected, rel=0.02)


def test_missing_reference_files_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nirspec_disperser_g235h\.asdf"):
        nirspec_exposure(tmp_path, **POINTING)


def test_dark_detectors_are_refused():
    with pytest.raises(ValueError, match="NRS2"):
        builtin_exposure(**POINTING, grating="G235M", detector="NRS2")
    with pytest.raises(ValueError, match="MIRROR"):
        builtin_exposure(**POINTING, grating="MIRROR")
