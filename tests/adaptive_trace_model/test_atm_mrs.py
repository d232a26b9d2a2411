"""The step on MIRI MRS exposures with the instrument's own geometry."""

import numpy as np
import pytest
from jwst.adaptive_trace_model import AdaptiveTraceModelStep as PeerStep
from jwst.cube_build import CubeBuildStep
from jwst.pixel_replace import PixelReplaceStep
from scipy.special import erf
from stdatamodels.jwst import datamodels
from stdatamodels.jwst.datamodels import dqflags

from jwst_fusion.adaptive_trace_model.geometry import GeometryError, MiriMrsGeometry
from jwst_fusion.adaptive_trace_model.interpolation import interpolate_smooth
from jwst_fusion.simulation.reference_geometry import mrs_exposure
from jwst_fusion.steps.adaptive_trace_model import AdaptiveTraceModelStep

pytestmark = pytest.mark.slow

DO_NOT_USE = dqflags.pixel["DO_NOT_USE"]
ESTIMATED = dqflags.pixel["FLUX_ESTIMATED"]
# the star's slices in both channels, and one beside it in each; the rest is left out
STAR, BESIDE = (111, 209), (110, 210)
PIXEL = 0.196
ALPHA = 0.13
# the zodiacal light grows, from channel to channel by steps
BACKGROUND = {1: 5.0, 2: 400.0}


def sky_map(model):
    """Array of the slice of each pixel that the WCS itself uses."""
    return model.meta.wcs.get_transform("detector", "alpha_beta").label_mapper.mapper


def light(model, label, x, y, *, alpha=ALPHA, peak=2000.0):
    """Star and background at detector positions in one slice."""
    transform = model.meta.wcs.get_transform("detector", "alpha_beta").selector[label]
    along, _, wavelength = transform(x, y)
    width = np.sqrt(2) / 2.355 * (0.033 * wavelength + 0.106)
    near, far = (erf((along - alpha + side * PIXEL / 2) / width) for side in (1, -1))
    spectrum = (6 / wavelength) * (1 - 0.5 * np.exp(-0.5 * ((wavelength - 5.3) / 0.002) ** 2))
    star = peak * spectrum * 0.5 * (near - far) if label in STAR else 0.0
    return star + BACKGROUND[label // 100] * wavelength / 6


def paint(model, seed=0, **star):
    """Fill an exposure with light, noise and bad pixels."""
    regions = MiriMrsGeometry(model).regions
    truth = np.full(regions.shape, np.nan)
    for label in STAR + BESIDE:
        y, x = np.nonzero(regions == label)
        truth[y, x] = light(model, label, x.astype(float), y.astype(float), **star)
    rng = np.random.default_rng(seed)
    variances = {"var_rnoise": 1 + 0 * truth, "var_poisson": 0.05 * truth, "var_flat": 0 * truth}
    error = np.sqrt(sum(variances.values()))
    missing = np.isnan(truth) | (rng.random(truth.shape) < 0.005)
    for row, column in rng.integers(0, 1020, (400, 2)):
        missing[row : row + 3, column : column + 3] = True
    noise = error * rng.standard_normal(truth.shape)
    for name, values in {"data": truth + noise, "err": error, **variances}.items():
        setattr(model, name, np.where(missing, np.nan, values).astype(np.float32))
    model.dq = np.where(missing, DO_NOT_USE, 0).astype(np.uint32)


@pytest.fixture(scope="module")
def empty(data_dir):
    folder = data_dir / "miri_mrs_refs"
    if not folder.is_dir():
        pytest.skip(f"no reference files in {folder}")
    model = mrs_exposure(folder, ra=150.0, dec=20.0, roll=30.0)
    regions = MiriMrsGeometry(model).regions
    sky_map(model)[:] = np.where(np.isin(regions, STAR + BESIDE), regions, 0)
    selector = model.meta.wcs.get_transform("detector", "alpha_beta").selector
    for label in set(selector) - {*STAR, *BESIDE}:
        del selector[label]
    return model


@pytest.fixture(scope="module")
def painted(empty):
    model = empty.copy()
    paint(model)
    return model


@pytest.fixture(scope="module")
def doubled(painted):
    before = {name: np.array(getattr(painted, name)) for name in ("data", "err", "dq")}
    result = AdaptiveTraceModelStep(oversample=2.0).run(painted)
    for name, array in before.items():
        np.testing.assert_array_equal(getattr(painted, name), array)
    assert not painted.hasattr("regions")
    return result


def near_star(model, label, factor=1.0):
    """Pixels of a slice within 0.4 arcsec of the star: their indices, truth, and star's peak."""
    y, x = np.nonzero(model.regions == label)
    native = ((x + 0.5) / factor - 0.5, y.astype(float))
    transform = model.meta.wcs.get_transform("detector", "alpha_beta").selector[label]
    truth = light(model, label, *native)
    peak = np.full(model.data.shape[0], -np.inf)
    np.maximum.at(peak, y, truth)
    near = np.abs(transform(*native)[0] - ALPHA) < 0.4
    return (y[near], x[near]), truth[near], peak[y[near]]


def test_truth_between_the_pixels(painted, doubled):
    assert doubled.meta.cal_step.adaptive_trace_model == "COMPLETE"
    linear = AdaptiveTraceModelStep(oversample=2.0, fit_threshold=1e9).run(painted)
    for label in STAR:
        at, truth, peak = near_star(doubled, label, 2.0)
        assert np.isfinite(doubled.trace_model[at]).mean() > 0.99
        rms = [np.sqrt(np.nanmean(((m.data[at] - truth) / peak) ** 2)) for m in (doubled, linear)]
        assert rms[0] < 0.012
        assert rms[1] > 5 * rms[0]
        pull = (doubled.data[at] - truth) / doubled.err[at]
        assert 0.5 < 1.4826 * np.nanmedian(np.abs(pull)) < 1.1
    for label in BESIDE:
        assert np.isnan(doubled.trace_model[doubled.regions == label]).all()


def test_bad_pixels_on_the_trace_are_filled(painted, doubled):
    filled = (doubled.dq & ESTIMATED) > 0
    assert filled.sum() > 200
    assert (np.repeat(painted.dq, 2, axis=1)[filled] & DO_NOT_USE).all()
    assert not (doubled.dq[filled] & DO_NOT_USE).any()
    (y, x), truth, peak = near_star(doubled, 111, 2.0)
    here = filled[y, x]
    error = ((doubled.data[y, x] - truth) / peak)[here]
    assert np.sqrt(np.mean(error**2)) < 0.05


def test_same_form_as_of_the_peer(painted, doubled, offline_crds):
    peer = PeerStep.call(painted, oversample=2.0, fit_threshold=1e9, skip=False)
    names = ("data", "err", "dq", "var_rnoise", "var_poisson", "var_flat", "wavelength", "regions")
    for name in (*names, "trace_model"):
        ours, theirs = getattr(doubled, name), getattr(peer, name)
        assert ours.shape == theirs.shape == (1024, 2064), name
        assert ours.dtype == theirs.dtype, name
    np.testing.assert_array_equal(doubled.wavelength, peer.wavelength)
    inside = doubled.regions > 0
    np.testing.assert_array_equal(doubled.regions[inside], peer.regions[inside])
    # Theirs leaves out a native pixel at each end of a column of a slice.
    both = np.isfinite(doubled.data) & np.isfinite(peer.data)
    assert both.sum() == np.isfinite(peer.data).sum()
    beside = both & np.isin(doubled.regions, BESIDE)
    np.testing.assert_allclose(doubled.data[beside], peer.data[beside], rtol=1e-5)
    flags = ~np.uint32(ESTIMATED)
    np.testing.assert_array_equal((doubled.dq & flags)[both], (peer.dq & flags)[both])
    for name in ("pixelarea_arcsecsq", "pixelarea_steradians"):
        assert getattr(doubled.meta.photometry, name) == getattr(peer.meta.photometry, name)
    y, x = (index[::997] for index in np.nonzero(inside))
    np.testing.assert_allclose(doubled.meta.wcs(x, y), peer.meta.wcs(x, y), rtol=1e-12)


def test_wcs_round_trips(painted, doubled, tmp_path):
    doubled.save(tmp_path / "doubled.fits")
    with datamodels.open(tmp_path / "doubled.fits") as read:
        y, x = (index[::997] for index in np.nonzero(read.regions))
        found = np.array(read.meta.wcs(x, y))
        native = ((x + 0.5) / 2 - 0.5, y)
        np.testing.assert_allclose(found, painted.meta.wcs(*native), rtol=1e-12)
        np.testing.assert_allclose(read.wavelength[y, x], found[2], rtol=1e-6)
        box = read.meta.wcs.bounding_box
        assert box.bounding_box(order="F") == ((-0.5, 2063.5), (-0.5, 1023.5))
        assert box.bounding_box(order="F")[1] == painted.meta.wcs.bounding_box[1]
        np.testing.assert_array_equal(
            read.meta.wcs.get_transform("detector", "coordinates")(3, 5), (6.5, 5)
        )
        again = AdaptiveTraceModelStep(oversample=2.0).run(read)
        assert again.meta.cal_step.adaptive_trace_model == "COMPLETE"
        assert again.data.shape == (1024, 2064)


def test_interpolated_coordinates_are_exact(painted):
    geometry = MiriMrsGeometry(painted)
    assert {layout.label for layout in geometry.layouts} == {*STAR, *BESIDE}
    for layout in geometry.layouts:
        coordinate, wavelength = geometry.coordinates(layout)
        rows, valid, position = layout.oversampled_rows(3.0)
        y = np.broadcast_to(layout.index()[1], rows.shape)[valid]
        x = (position + layout.first_row[:, None])[valid]
        along, _, exact = geometry._selector[layout.label](x, y * 1.0)
        known = np.isfinite(coordinate)
        found = interpolate_smooth(coordinate, known, position)[valid]
        assert np.abs(found - along).max() < 1e-4 * np.abs(np.nanmedian(np.diff(coordinate)))
        found = interpolate_smooth(wavelength, known, position)[valid]
        assert np.abs(found - exact).max() < 1e-4 * np.nanmedian(np.diff(wavelength, axis=0))


def test_star_far_from_the_middle_of_its_slices(empty):
    model, alpha = empty.copy(), -1.78
    paint(model, alpha=alpha)
    assert abs(alpha) / PIXEL > 9
    result = AdaptiveTraceModelStep().run(model)
    assert result.trace_model.shape == model.data.shape
    geometry = MiriMrsGeometry(model)
    for layout in geometry.layouts:
        coordinate, _ = geometry.coordinates(layout)
        trace = layout.cut(result.trace_model.T)
        near = np.abs(coordinate - alpha) < 0.2
        share = np.isfinite(trace[near & layout.inside]).mean()
        assert share > 0.95 if layout.label in STAR else share == 0


def test_cubes_and_pixel_replacement(painted, doubled, offline_crds, tmp_path):
    native = AdaptiveTraceModelStep().run(painted)
    replaced = PixelReplaceStep(algorithm="trace_model", skip=False).run(native)
    bad = np.isnan(native.data) & np.isfinite(native.trace_model)
    assert bad.sum() > 50
    np.testing.assert_array_equal(replaced.data[bad], native.trace_model[bad])

    step = CubeBuildStep(channel="1", output_dir=str(tmp_path))
    step.override_cubepar = write_cube_parameters(tmp_path / "cubepar.fits")
    (cube,) = step.run(doubled)
    assert cube.meta.cal_step.cube_build == "COMPLETE"
    image = np.nansum(cube.data, axis=0)
    y, x = np.unravel_index(np.argmax(image), image.shape)
    found = cube.meta.wcs(x, y, 0)[:2]
    to_sky = painted.meta.wcs.get_transform("alpha_beta", "world")
    ra, dec, _ = to_sky(ALPHA, 0.0, 5.22)
    assert np.hypot((found[0] - ra) * np.cos(np.radians(dec)), found[1] - dec) * 3600 < 0.15


def write_cube_parameters(path):
    """Nominal cube parameters of bands 1A and 2A for drizzling."""
    model = datamodels.MiriIFUCubeParsModel()
    model.meta.instrument.name, model.meta.exposure.type = "MIRI", "MIR_MRS"
    model.meta.reftype, model.meta.pedigree = "cubepar", "DUMMY"
    model.meta.description = model.meta.author = "test"
    model.meta.useafter = "2022-01-01T00:00:00"
    table = np.zeros(2, dtype=model.get_dtype("ifucubepars_table"))
    table["channel"], table["band"] = ["1", "2"], ["SHORT", "SHORT"]
    table["spaxelsize"], table["spectralstep"] = [0.13, 0.17], [0.0008, 0.0013]
    table["wavemin"], table["wavemax"] = [5.2, 7.6], [5.24, 7.65]
    model.ifucubepars_table = table
    waves = np.zeros(20, dtype=model.get_dtype("ifucubepars_multichannel_driz_wavetable"))
    waves["wavelength"] = np.linspace(5.2, 7.6, 20)
    model.ifucubepars_multichannel_driz_wavetable = waves
    model.save(str(path))
    return str(path)


def test_unsuitable_exposures(painted):
    broken = painted.copy()
    broken.regions = np.zeros((10, 10), dtype=np.int32)
    with pytest.raises(GeometryError, match="region map has the shape"):
        MiriMrsGeometry(broken)
    broken.regions = np.full(painted.data.shape, 999, dtype=np.int32)
    with pytest.raises(GeometryError, match="no transform for slice 999"):
        MiriMrsGeometry(broken)
    broken.regions = None
    native = np.array(broken.data)
    for data, flags in ((np.nan, 0), (0.0, 0), (np.inf, 0), (native, DO_NOT_USE)):
        broken.data[:] = data
        broken.dq[:] = flags
        result = AdaptiveTraceModelStep(oversample=2.0).run(broken)
        assert result.meta.cal_step.adaptive_trace_model == "SKIPPED"
        np.testing.assert_array_equal(result.data, broken.data)
        assert not result.hasattr("trace_model")
    broken.meta.instrument.detector = "MIRIMAGE"
    result = AdaptiveTraceModelStep(oversample=2.0).run(broken)
    assert result.meta.cal_step.adaptive_trace_model == "SKIPPED"


def test_specks_are_no_part_of_a_slice(painted):
    speckled = painted.copy()
    labels = sky_map(speckled)
    labels[500:504, 620:650] = 111
    geometry = MiriMrsGeometry(speckled)
    np.testing.assert_array_equal(geometry.regions, MiriMrsGeometry(painted).regions)
    assert max(layout.shape[1] for layout in geometry.layouts) < 30
