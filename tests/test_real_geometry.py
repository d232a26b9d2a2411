"""NIRSpec's IFU in the instrument's own geometry: slices, both styles of the WCS, a star."""

from itertools import pairwise

import numpy as np
import pytest
from jwst.assign_wcs import AssignWcsStep
from jwst.assign_wcs.nirspec import nrs_wcs_set_input
from slice_checks import check_lines, filled
from stdatamodels.jwst import datamodels
from stdatamodels.jwst.transforms.models import Rotation3DToGWA

from jwst_fusion.adaptive_trace_model import smooth_map
from jwst_fusion.adaptive_trace_model.geometry import GeometryError, NirspecIfuGeometry
from jwst_fusion.adaptive_trace_model.interpolation import interpolate_smooth
from jwst_fusion.adaptive_trace_model.slices import oversampled_position
from jwst_fusion.products.ifu_exposure import read_ifu_exposure
from jwst_fusion.simulation import reference_geometry
from jwst_fusion.simulation.exposures import Noise, noiseless, paint, pixel_pitch
from jwst_fusion.simulation.psfs import pixel_psf
from jwst_fusion.simulation.scenes import single_star
from jwst_fusion.steps.adaptive_trace_model import AdaptiveTraceModelStep

pytestmark = pytest.mark.slow

POINTING = {"ra": 150.0, "dec": 20.0, "roll": 30.0}
# The star stands in the middle of the field: the other slices are left out.
SLICES = range(8, 11)


class SliceStyle(AssignWcsStep):
    """A WCS for each slice."""

    spec = """
    nrs_ifu_slice_wcs = boolean(default=True)
    """


@pytest.fixture(scope="module")
def real(data_dir):
    """Give exposures of a setting, empty each time; assign_wcs, ten seconds, runs once for each."""
    folder = data_dir / "nirspec_ifu_refs"
    if not folder.is_dir():
        pytest.skip(f"no reference files in {folder}")
    made = {}

    def get(grating="G235H", filter_name="F170LP", detector="NRS1", by_slice=False):
        key = grating, filter_name, detector, by_slice
        if key not in made:
            setting = {"grating": grating, "filter_name": filter_name, "detector": detector}
            with pytest.MonkeyPatch.context() as patch:
                if by_slice:
                    patch.setattr(reference_geometry, "AssignWcsStep", SliceStyle)
                model = reference_geometry.nirspec_exposure(folder, **POINTING, **setting)
            names = ("data", "err", "dq", "regions")
            made[key] = model, {name: np.array(getattr(model, name)) for name in names}
        model, arrays = made[key]
        for name, array in arrays.items():
            setattr(model, name, array.copy())
        return model

    return get


@pytest.fixture
def by_coordinates(real):
    return real()


@pytest.fixture
def by_slice(real):
    """The same exposure with a slice-style WCS."""
    return real(by_slice=True)


@pytest.fixture
def single_rotations(monkeypatch):
    """Rotation by one angle, as within the prism, which stdatamodels 6.0.0 cannot evaluate."""
    evaluate = Rotation3DToGWA.evaluate

    def with_list(self, x, y, z, angles):
        return evaluate(self, x, y, z, np.atleast_2d(angles))

    monkeypatch.setattr(Rotation3DToGWA, "evaluate", with_list)


def test_real_geometry_gives_thirty_slices(real):
    model = real()
    assert model.meta.cal_step.assign_wcs == "COMPLETE"
    assert set(np.unique(model.regions)) == set(range(31))
    assert pixel_pitch(model) == pytest.approx(0.1076, abs=1e-3)


@pytest.mark.parametrize(
    ("grating", "filter_name", "detector"),
    [("G235H", "F170LP", "NRS2"), ("PRISM", "CLEAR", "NRS1")],
)
def test_slices_of_nirspec_are_lines(real, single_rotations, grating, filter_name, detector):
    setting = {"grating": grating, "filter_name": filter_name, "detector": detector}
    model = filled(real(**setting))
    # All slices of a grating are looked at below.
    model.regions = np.where((model.regions > 2) & (model.regions < 11), model.regions, 0)
    (exposure,) = read_ifu_exposure(model)
    check_lines(exposure, POINTING, 8, 0.1034, 0.1075)


def test_both_styles_of_the_wcs_give_the_same_pixels(real):
    (one,) = read_ifu_exposure(filled(real()))
    check_lines(one, POINTING, 30, 0.1034, 0.1075)
    model = filled(real(by_slice=True))
    assert "slit_frame" in model.meta.wcs.available_frames
    some = (1, 8, 15, 22, 30)
    model.regions = np.where(np.isin(model.regions, some), model.regions, 0)
    (two,) = read_ifu_exposure(model)
    assert set(two.label) == set(some)
    same = np.isin(one.label, some)
    for name in ("ra", "dec", "wavelength", "label", "row", "column"):
        expected = getattr(one, name)[same]
        np.testing.assert_allclose(getattr(two, name), expected, rtol=0, atol=1e-10)


def test_both_styles_agree(by_coordinates, by_slice):
    one, two = NirspecIfuGeometry(by_coordinates), NirspecIfuGeometry(by_slice)
    assert two.by_slice
    assert not one.by_slice
    assert [layout.label for layout in one.layouts] == list(range(1, 31))
    for first, second in zip(one.layouts[::7], two.layouts[::7], strict=True):
        np.testing.assert_array_equal(first.inside, second.inside)
        for a, b in zip(one.coordinates(first), two.coordinates(second), strict=True):
            # No pixel of the region map is lost to an overlapping bounding box.
            np.testing.assert_array_equal(np.isfinite(a), first.inside)
            np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)


def test_interpolated_coordinates_are_exact(by_coordinates):
    geometry = NirspecIfuGeometry(by_coordinates)
    layout = geometry.layouts[3]
    coordinate, wavelength = geometry.coordinates(layout)
    rows, valid, position = layout.oversampled_rows(3.0)
    columns = np.broadcast_to(layout.index()[1], rows.shape)[valid]
    native = (position + layout.first_row[:, None])[valid]
    _, along, exact = geometry._selector[layout.label](columns * 1.0, native)
    pitch = np.nanmedian(np.diff(coordinate, axis=1))
    found = interpolate_smooth(coordinate, layout.inside, position)[valid]
    assert np.nanmax(np.abs(found + along)) < 1e-4 * pitch
    step = np.nanmedian(np.diff(wavelength, axis=0))
    found = interpolate_smooth(wavelength, layout.inside, position)[valid]
    assert np.nanmax(np.abs(found - exact * 1e6)) < 1e-4 * step


def test_slice_style_through_the_step(by_slice, tmp_path):
    exposure = by_slice.copy()
    inside = exposure.regions > 0
    noise = np.random.default_rng(0).standard_normal(inside.shape)
    exposure.data = np.where(inside, 3 + 0.1 * noise, np.nan).astype(np.float32)
    exposure.err = np.where(inside, 0.1, np.nan).astype(np.float32)
    result = AdaptiveTraceModelStep(oversample=2.0).run(exposure)
    assert result.meta.cal_step.adaptive_trace_model == "COMPLETE"
    result.save(tmp_path / "doubled.fits")
    with datamodels.open(tmp_path / "doubled.fits") as read:
        for number in (0, 21):
            new, old = nrs_wcs_set_input(read, number), nrs_wcs_set_input(by_slice, number)
            rows, columns = (index[::501] for index in np.nonzero(read.regions == number + 1))
            found = np.array(new(columns, rows))
            np.testing.assert_allclose(
                found, np.array(old(columns, (rows + 0.5) / 2 - 0.5)), rtol=1e-12
            )
            assert np.isfinite(found[2]).mean() > 0.95
            assert new.bounding_box[1].lower == 2 * old.bounding_box[1].lower + 0.5
        with pytest.raises(GeometryError, match="already oversampled"):
            NirspecIfuGeometry(read)


def test_coordinates_are_exact_although_few_points_are_evaluated(monkeypatch, by_coordinates):
    geometry = NirspecIfuGeometry(by_coordinates)
    for layout in geometry.layouts[::7]:
        quick = np.array(geometry.coordinates(layout))
        with monkeypatch.context() as patch:
            patch.setattr(smooth_map, "_MIN_PIXELS", np.inf)
            exact = np.array(geometry.coordinates(layout))
        pixel = [
            np.nanmedian(np.abs(np.diff(exact[0], axis=1))),
            np.nanmedian(np.abs(np.diff(exact[1], axis=0))),
        ]
        error = np.nanmax(np.abs(quick - exact), axis=(1, 2)) / pixel
        assert np.all(error < 1e-5)
        np.testing.assert_array_equal(np.isnan(quick), np.isnan(exact))


@pytest.fixture(scope="module")
def star():
    """A star in the middle of the field, as the pixels see it."""
    scene = single_star(ra=POINTING["ra"], dec=POINTING["dec"], blue=0.6, red=5.3)
    return scene.observe(pixel_psf(scene, roll=POINTING["roll"], source="aperture"))


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
    star, real, single_rotations, tmp_path, grating, filter_name, detector, wavelengths
):
    native = real(grating=grating, filter_name=filter_name, detector=detector)
    native.regions = np.where(np.isin(native.regions, SLICES), native.regions, 0)
    # Unflagged cosmic rays are neither the model's nor linear interpolation's business.
    paint(native, star, noise=Noise(residues=0), seed=1)
    result = AdaptiveTraceModelStep(oversample=2.0).run(native)
    assert result.meta.cal_step.adaptive_trace_model == "COMPLETE"
    assert np.nanmin(result.wavelength) < wavelengths[0] + 0.02
    assert np.nanmax(result.wavelength) > wavelengths[1] - 0.02

    truth = noiseless(result, star)
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
