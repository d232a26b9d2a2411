"""Channels, pixels and PSFs that a fusion from exposures chooses for itself."""

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest
from astropy.wcs import WCS
from stdatamodels.jwst.datamodels import dqflags

from jwst_fusion.bandpass import Bandpass, coverage, photometry_weights
from jwst_fusion.errors import NotFusableError
from jwst_fusion.fusion.exposure_run import _footprints
from jwst_fusion.fusion.exposures.domain import positions_on
from jwst_fusion.fusion.exposures.footprint import PixelFootprint
from jwst_fusion.fusion.exposures.image_psfs import JoinedPsf, image_psfs, product_psf
from jwst_fusion.fusion.exposures.memory import estimate_exposure_memory
from jwst_fusion.fusion.exposures.observation import ExposureObservation
from jwst_fusion.fusion.exposures.problem import PixelData, SceneProblem
from jwst_fusion.fusion.exposures.product_grid import (
    choose_channels,
    choose_grid,
    finest_factor,
    spaxel_of,
)
from jwst_fusion.fusion.fused_exposures import exposure_origin
from jwst_fusion.fusion.observed.observation import ImageObservation
from jwst_fusion.fusion.observed.photometry import seen_part
from jwst_fusion.fusion.observed.sky import SkyGrid
from jwst_fusion.fusion.options import FusionOptions
from jwst_fusion.fusion.origin import CUBE, IMAGE
from jwst_fusion.fusion.solver.grid import Grid
from jwst_fusion.products import exposure_cube
from jwst_fusion.products.exposure_cube import _flags
from jwst_fusion.psf import PsfCube, chebyshev_nodes

RA, DEC = 359.9998, 30.0


def sky_grid(scale, shape, ra=RA, angle=0.0):
    wcs = WCS(naxis=2)
    wcs.wcs.ctype, wcs.wcs.cunit = ["RA---TAN", "DEC--TAN"], ["deg", "deg"]
    wcs.wcs.crval = [ra, DEC]
    wcs.wcs.crpix = [(size + 1) / 2 for size in shape[::-1]]
    wcs.wcs.cdelt = [-scale / 3600, scale / 3600]
    cosine, sine = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    wcs.wcs.pc = [[cosine, -sine], [sine, cosine]]
    wcs.wcs.set()
    return SkyGrid(wcs, shape)


def exposure(wavelength, *, ra=RA, grating="G235H", instrument="NIRSPEC", name="a", torn=0.0):
    """Thirty slices of 0.1 arcsec, 30 pixels high, with one wavelength per column."""
    label, along, column = (
        one.ravel() for one in np.meshgrid(range(30), range(30), range(len(wavelength)))
    )
    sky = sky_grid(0.1, (30, 30), ra, 25.0).sky(label, along)
    # The spectra of slices are shifted against each other.
    lam = np.interp(column + torn * label, np.arange(len(wavelength)), wavelength)
    ones = np.ones(len(column))
    return ExposureObservation(
        data=ones,
        err=ones,
        good=np.ones(len(column), bool),
        ra=sky.ra.deg,
        dec=sky.dec.deg,
        wavelength=lam,
        label=label + 1,
        row=label * 32 + along,
        column=column,
        shape=(960, len(wavelength)),
        slit_axis="row",
        pa_v3=10.0,
        instrument=instrument,
        detector="NRS1",
        grating=grating,
        name=name,
    )


BLUE, RED = np.arange(1.70, 1.75, 4e-4), np.arange(1.80, 1.85, 4e-4)


def test_channels_are_as_far_apart_as_pixels():
    found = choose_channels([exposure(BLUE)])
    assert found.even
    np.testing.assert_allclose(np.diff(found.wavelength), 4e-4, rtol=1e-3)
    assert abs(found.wavelength[0] - 1.70) < 4e-4
    assert abs(found.wavelength[-1] - BLUE[-1]) < 8e-4
    part = choose_channels([exposure(BLUE)], wave_min=1.71, wave_max=1.72)
    assert 1.71 <= part.wavelength[0] < part.wavelength[-1] <= 1.72
    with pytest.raises(NotFusableError, match="fewer than four channels"):
        choose_channels([exposure(BLUE)], wave_min=2.0)


def test_channels_leave_the_gap_between_detectors_out():
    found = choose_channels([exposure(BLUE), exposure(RED, name="b")])
    steps = np.diff(found.wavelength)
    assert not found.even
    assert np.count_nonzero(steps > 6e-4) == 1
    assert 0.045 < steps.max() < 0.055
    assert len(found.wavelength) == pytest.approx(len(BLUE) + len(RED), abs=4)


def test_channels_follow_a_prism():
    number = np.arange(300)
    prism = 0.6 + 0.004 * number + 4e-5 * number**2
    found = choose_channels([exposure(prism, grating="PRISM")])
    assert not found.even
    middle = found.wavelength[5:-5]
    pixels = np.interp(middle, prism, number)
    np.testing.assert_allclose(np.diff(pixels), 1.0, atol=0.1)


def test_other_resolution_at_the_same_wavelengths_is_refused():
    with pytest.raises(ValueError, match=r"b \(G235M\) and a \(G235H\) see the same wavelengths"):
        choose_channels([exposure(BLUE), exposure(BLUE[::2], grating="G235M", name="b")])


def test_grid_is_around_all_exposures():
    exposures = [exposure(BLUE), exposure(BLUE, ra=RA + 2e-4, name="b")]
    channels = choose_channels(exposures)
    grid = choose_grid(exposures, channels, spaxel=0.1, factor=3)
    assert grid.scale == pytest.approx(0.1 / 3)
    assert (grid.mirrored, grid.square) == (False, True)
    assert grid.pa_y == pytest.approx(0, abs=1e-6)
    assert all(size % 3 == 0 for size in grid.shape)
    for one in exposures:
        x, y = grid.wcs.wcs_world2pix(one.ra, one.dec, 0)
        for at, size in ((x, grid.shape[1]), (y, grid.shape[0])):
            assert at.min() > -0.6
            assert at.max() < size - 0.4
    # No larger than what is seen, to a spaxel on each side.
    width = 2.9 * (np.cos(np.radians(25)) + np.sin(np.radians(25)))
    assert grid.shape[0] * grid.scale < width + 0.3
    assert grid.shape[1] * grid.scale < width + 0.3 + 2e-4 * 3600 * np.cos(np.radians(DEC))


def test_part_of_the_field():
    one = exposure(BLUE)
    channels = choose_channels([one])
    field = (RA, DEC + 0.5 / 3600, 1.0, 0.6)
    grid = choose_grid([one], channels, spaxel=0.1, factor=2, field=field)
    assert grid.shape == (14, 22)
    assert grid.centre.dec.deg == pytest.approx(field[1], abs=1e-5)
    with pytest.raises(NotFusableError, match="a field without data"):
        choose_grid([one], channels, spaxel=0.1, factor=2, field=(RA, DEC + 1, 1.0, 1.0))


def test_exposures_of_two_fields_are_refused():
    two = [exposure(BLUE), exposure(BLUE, ra=RA + 0.01, name="b")]
    with pytest.raises(ValueError, match=r'b sees another field, 31.2" from a'):
        choose_grid(two, choose_channels(two), spaxel=0.1, factor=3)


@pytest.mark.parametrize(
    ("instrument", "grating", "spaxel", "blue", "alone", "coarse"),
    [
        ("NIRSPEC", "PRISM", 0.1, 0.6, 5, 5),
        ("NIRSPEC", "G140H", 0.1, 1.4, 4, 4),
        ("NIRSPEC", "G235H", 0.1, 1.66, 3, 3),
        ("NIRSPEC", "G395H", 0.1, 2.87, 3, 2),
        ("MIRI_MRS", "1A", 0.13, 4.9, 2, 2),
        ("MIRI_MRS", "4C", 0.35, 24.4, 2, 2),
    ],
)
def test_pixels_sample_the_optics(instrument, grating, spaxel, blue, alone, coarse):
    one = exposure(BLUE, instrument=instrument, grating=grating)
    assert spaxel_of(one) == spaxel
    assert finest_factor([one], [blue, 1.1 * blue]) == alone
    # Coarse images leave no PSF of the exposures undersampled, and fine ones are followed.
    assert finest_factor([one], [blue], [spaxel / 2]) == coarse
    assert finest_factor([one], [blue], [spaxel / 6, spaxel / 2]) == 6


def psf(low, high, width, size=15):
    y, x = np.indices((size, size)) - size // 2
    planes = [
        np.exp(-0.5 * (x**2 + y**2) / (width * one / low) ** 2)
        for one in chebyshev_nodes(low, high, 4)
    ]
    data = np.array([plane / plane.sum() for plane in planes])
    return PsfCube(data, chebyshev_nodes(low, high, 4), 0.05, "test")


def test_psfs_jump_between_their_ranges():
    blue, red = psf(1.6, 2.4, 1.5), psf(2.3, 3.2, 2.0, size=21)
    whole = JoinedPsf.of([(blue, 1.6, 2.35), (red, 2.35, 3.2)])
    wavelength = np.array([1.6, 2.0, 2.34, 2.36, 3.0, 3.2])
    weights = whole.weights(wavelength)
    np.testing.assert_allclose(weights.sum(1), 1)
    found = whole.evaluate(wavelength)
    np.testing.assert_allclose(found[:3, 3:-3, 3:-3], blue.evaluate(wavelength[:3]), atol=1e-12)
    np.testing.assert_allclose(found[3:], red.evaluate(wavelength[3:]), atol=1e-12)
    # Beyond the nodes it is that of the last one.
    np.testing.assert_allclose(whole.evaluate([1.5])[0], found[0], atol=1e-12)
    assert JoinedPsf.of([(blue, 1.6, 2.4)]) is blue


def picture(name, filter_name, scale, *, instrument="NIRCAM", detector="NRCB1", roll=70.0):
    grid = sky_grid(scale, (41, 43), angle=roll)
    ones = np.ones(grid.shape)
    good = np.ones(grid.shape, bool)
    return ImageObservation(
        ones, ones, good, grid, roll, instrument, filter_name, detector, name, 1.0
    )


def test_every_image_has_its_own_psf():
    """Two channels of NIRCam, two rolls, and MIRI together in one fusion."""
    grid = sky_grid(0.05, (31, 31))
    images = [
        picture("one", "F212N", 0.031),
        picture("two", "F210M", 0.031),
        picture("three", "F212N", 0.031, roll=80.0),
        picture("long", "F335M", 0.063, detector="NRCBLONG"),
        picture("miri", "F560W", 0.11, instrument="MIRI", detector="MIRIMAGE"),
    ]
    wavelength = np.linspace(2.0, 6.5, 60)
    options = FusionOptions(psf_source="aperture", psf_jitter=0.0)
    given = {"wavelength": wavelength, "npix": 31, "options": options}
    psfs = image_psfs(images, grid, **given)
    assert psfs[0] is psfs[1]
    assert len({id(one) for one in psfs}) == 4
    ranges = [tuple(one.wavelength[[0, -1]]) for one in psfs]
    assert ranges[0] == pytest.approx((2.0, 2.35))
    assert ranges[3][0] == pytest.approx(2.35)
    whole = product_psf(images, psfs, [], psfs, wavelength, resolution="imager")
    np.testing.assert_allclose(whole.evaluate([2.1])[0], psfs[0].evaluate([2.1])[0], atol=1e-12)
    np.testing.assert_allclose(whole.evaluate([3.3])[0], psfs[3].evaluate([3.3])[0], atol=1e-12)
    spectrograph = psf(2.0, 6.5, 3.0)
    both = (images, psfs, [], [spectrograph] * 2, wavelength)
    assert product_psf(*both, resolution="ifu") is spectrograph
    assert product_psf([], [], *both[2:], resolution="imager") is spectrograph
    sharp = product_psf(images, psfs, [], psfs, wavelength, resolution="deconvolved")
    assert sharp.data.shape == (1, 1, 1)
    unknown = dataclasses.replace(images[0], pa_v3=None)
    with pytest.raises(NotFusableError, match="one does not say the telescope's roll"):
        image_psfs([unknown], grid, **given)


def test_filters_that_are_partly_covered_lose_the_rest():
    band = Bandpass("X", np.array([1.9, 2.0, 2.1, 2.2]), np.array([0.2, 1.0, 0.5, 0.1]), "test")
    wavelength = np.concatenate([np.arange(1.95, 2.02, 0.002), np.arange(2.08, 2.15, 0.002)])
    part = seen_part(band, wavelength)
    assert coverage(wavelength, band) < 0.7
    assert coverage(wavelength, part) == pytest.approx(1, abs=1e-4)
    np.testing.assert_allclose(
        photometry_weights(wavelength, part), photometry_weights(wavelength, band), atol=1e-5
    )


def test_memory_grows_with_what_is_fused():
    given = (1e6, 1e6, 1500, (90, 90), (200, 200))
    least = estimate_exposure_memory(*given, rank=10)
    assert 1e9 < least < 4e9
    assert estimate_exposure_memory(*given, rank=10, errors=False) < least
    assert estimate_exposure_memory(4e6, *given[1:], rank=10) > least + 5e8


def test_spectra_only_where_exposures_look():
    """The field of the IFU, turned by 25 degrees, within an image of twice its size."""
    one, grid = exposure(BLUE), sky_grid(0.1 / 3, (160, 160))
    footprint = PixelFootprint.of(one, grid, BLUE)
    assert (footprint.height, footprint.width) == pytest.approx((3, 3), rel=1e-3)
    assert footprint.angle % 90 in (pytest.approx(25, abs=0.1), pytest.approx(65, abs=0.1))
    image = SimpleNamespace(grid=grid)
    result = SimpleNamespace(
        grid=grid,
        wavelength=BLUE,
        residuals=[np.zeros(len(one.data))],
        rejected=[np.zeros(len(one.data), bool)],
        image_residuals=[np.zeros(grid.shape)],
        places=lambda _, ra, dec: positions_on(grid, ra, dec),
    )
    origin = exposure_origin([one], [footprint], [image], np.ones((1, len(BLUE))), result)
    assert set(np.unique(origin)) == {0, CUBE + IMAGE}
    # Every channel covers the field: 3 x 3 arcsec, and half a fine pixel at its rim.
    y, x = np.indices(grid.shape) - 79.5
    angle = np.radians(footprint.angle)
    reach = np.maximum(
        np.abs(np.cos(angle) * x + np.sin(angle) * y), np.abs(np.cos(angle) * y - np.sin(angle) * x)
    )
    assert np.all(origin[:, reach < 44.5])
    assert not np.any(origin[:, reach > 46.5])


@pytest.mark.parametrize(
    ("images", "resolution", "good"),
    [([], "ifu", 2), (["one"], "imager", 1), (["one"], "ifu", 2), ([], "deconvolved", 2)],
)
def test_what_exposures_measure_at_their_resolution_needs_no_image(images, resolution, good):
    # Exposures and image, exposures alone, an image alone, nothing.
    origin = np.array([CUBE + IMAGE, CUBE, IMAGE, 0], np.uint8)
    flags = _flags(SimpleNamespace(images=images, resolution=resolution), origin)
    assert np.flatnonzero(flags == 0).tolist() == list(range(good))
    assert flags[3] & dqflags.pixel["DO_NOT_USE"]


@pytest.mark.parametrize("deep", [0, 4, 20])
def test_field_of_one_exposure_is_covered_beside_a_deep_one(deep):
    grid = Grid(96, 96, 1)
    y, x = (one.ravel() for one in np.mgrid[20:76, 20:76])
    half = x < 48
    places = [(x, y), *[(x[half], y[half])] * deep]
    columns, rows = (np.concatenate(one) for one in zip(*places, strict=True))
    ends = np.cumsum([len(one[0]) for one in places])
    parts = [slice(end - len(one[0]), end) for end, one in zip(ends, places, strict=True)]
    operator = SimpleNamespace(size=len(columns), parts=parts, grid=grid)
    ones = np.ones(len(columns))
    coverage = PixelData(operator, ones, ones, columns, rows).coverage
    assert coverage[30:66, 30:66].min() > 0.95
    assert coverage[:13].max() < 0.05
    # At the rim half of the surroundings are seen.
    assert coverage[48, 75] == pytest.approx(0.6, abs=0.12)


def test_exposure_of_one_slice_has_the_footprint_of_another():
    grid, whole = sky_grid(0.1 / 3, (100, 100)), exposure(BLUE)
    lone = dataclasses.replace(whole, good=whole.label == 3)
    first, second = _footprints([whole, lone], grid, BLUE)
    assert first == second
    with pytest.raises(NotFusableError, match="a has 1 slices within the channels"):
        _footprints([lone], grid, BLUE)


def test_sources_that_no_exposure_sees_have_no_spectrum(monkeypatch):
    kept = []
    monkeypatch.setattr(
        exposure_cube, "store_sources", lambda _, found, *a, **k: kept.append(found)
    )
    origin = np.zeros((3, 20, 30), np.uint8)
    origin[1, 5:15, 5:25] = CUBE + IMAGE
    places = np.array([[10.2, 8.1], [2.0, 2.0], [24.4, 14.4], [24.6, 14.4], [-0.4, 3.0], [40, 3]])
    found = SimpleNamespace(
        x=places[:, 0],
        y=places[:, 1],
        chosen=lambda inside: SimpleNamespace(x=places[inside, 0], y=places[inside, 1]),
    )
    nothing = np.zeros((len(places), 3))
    result = SimpleNamespace(
        grid=sky_grid(0.03, (20, 30)),
        source_flux=nothing,
        source_error=nothing,
        source_factor=nothing,
    )
    fused = SimpleNamespace(result=result, sources=found, origin=origin)
    exposure_cube._add_sources(None, fused)
    np.testing.assert_array_equal(kept[0].x, [10.2, 24.4])


@pytest.mark.parametrize(("part", "surrounded"), [(1.0, True), (0.5, False), (None, False)])
def test_images_of_the_whole_field_show_what_is_around_it(part, surrounded):
    looked, shown = np.zeros((2, 60, 60))
    looked[20:40, 20:40] = 1
    shown[:, : round(60 * (part or 0))] = 1
    views = [SimpleNamespace(coverage=looked, operator=SimpleNamespace(source=()))]
    if part is not None:
        views.append(SimpleNamespace(coverage=shown, operator=SimpleNamespace(source=None)))
    assert SceneProblem._surrounded(SimpleNamespace(data=views)) == surrounded
