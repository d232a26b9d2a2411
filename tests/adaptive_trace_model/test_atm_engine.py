"""The public function on plain arrays, and the public names of the package."""

import numpy as np
import pytest

from jwst_fusion.adaptive_trace_model import TraceSettings, make_geometry, oversample
from jwst_fusion.simulation.slit_scene import SlitScene, SlitSource
from jwst_fusion.simulation.slits import fixed_slit_exposure
from jwst_fusion.step import AdaptiveTraceModelStep

MRS = {"mode": "MIRI MRS", "options": TraceSettings(oversample=1.7)}


@pytest.fixture
def scene(synthetic):
    """Flux, error and coordinate (row, column) of a slice of odd size with bad pixels."""
    slice_ = synthetic(n_column=331, n_row=23)
    flux, error = slice_.observe()
    flux[50:60, 8:11] = np.nan
    return flux.T, error.T, slice_.coordinate().T


def test_same_as_the_step():
    star = SlitScene((SlitSource(0.4, 3000.0),), background=2.0)
    native = fixed_slit_exposure(scenes=[star], single=True, names=("S200A1",), columns=260)
    geometry = make_geometry("nirspec_slit", native)
    (layout,) = geometry.layouts
    coordinate, wavelength = np.full((2, *native.data.shape), np.nan)
    rows, columns = np.broadcast_arrays(*layout.index())
    for image, values in zip((coordinate, wavelength), geometry.coordinates(layout), strict=True):
        image[rows[layout.inside], columns[layout.inside]] = values[layout.inside]
    flux = np.where(native.dq & 1, np.nan, native.data)
    result = oversample(
        flux, native.err, coordinate, wavelength=wavelength, mode="NIRSpec fixed slits"
    )
    assert result.outcomes == {1: "fitted"}
    product = AdaptiveTraceModelStep.call(native, oversample=2.0)
    # The flux of a pixel is shared among its parts, that of arrays is left per native pixel.
    np.testing.assert_array_equal(result.flux / 2, product.data)
    np.testing.assert_allclose(result.error / 2, product.err, rtol=1e-6)
    np.testing.assert_array_equal(result.model / 2, product.trace_model)
    np.testing.assert_array_equal(result.wavelength, product.wavelength)


def test_coordinates_of_the_result(scene):
    flux, error, coordinate = scene
    result = oversample(flux, error, coordinate, options=TraceSettings(oversample=2.5))
    assert result.flux.shape == (58, 331)
    for column in (0, 200):
        expected = np.interp(result.row, np.arange(23), coordinate[:, column])
        inner = (result.row >= 0) & (result.row <= 22)
        np.testing.assert_allclose(result.coordinate[inner, column], expected[inner], atol=1e-9)
    assert result.estimated[:, 50:60].any()
    assert np.isnan(result.wavelength).all()


def test_native_pixels_stay(scene):
    flux, error, coordinate = scene
    result = oversample(flux, error, coordinate, options=TraceSettings(oversample=1))
    good = np.isfinite(flux)
    np.testing.assert_allclose(result.flux[good], flux[good], rtol=1e-6)
    assert not result.estimated[good].any()
    whole = good.all(axis=0)
    np.testing.assert_allclose(result.error[:, whole], error[:, whole], rtol=1e-6)
    assert np.isfinite(result.model).mean() > 0.1


@pytest.mark.parametrize("unit", [1e-30, 1e25])
def test_physical_units(scene, unit):
    flux, error, coordinate = scene
    before = oversample(flux, error, coordinate)
    after = oversample(unit * flux, unit * error, coordinate)
    largest = np.nanmax(before.flux)
    for name in ("flux", "error", "model"):
        found = getattr(after, name).astype(float) / unit
        np.testing.assert_allclose(found, getattr(before, name), rtol=1e-5, atol=1e-6 * largest)


def test_slices_do_not_depend_on_each_other(scene):
    flux, error, coordinate = scene
    numbers = np.repeat([105, 203], 23)[:, None] * np.ones(331, dtype=int)
    images = (np.concatenate([one, one]) for one in scene)
    both = oversample(*images, regions=numbers, threads=2, **MRS)
    assert both.outcomes == {105: "fitted", 203: "fitted"}
    alone = oversample(flux, error, coordinate, regions=numbers[:23], **MRS)
    inner = slice(0, 38)
    for name in ("flux", "error", "model", "coordinate"):
        np.testing.assert_array_equal(getattr(both, name)[inner], getattr(alone, name)[inner])


def test_gap_in_a_slice(scene):
    """Pixels of another slice lie over a part of it: they have coordinates, and no data."""
    flux, error, coordinate = scene
    regions = np.ones(flux.shape, dtype=int)
    regions[5, 100:120] = 0
    result = oversample(flux, error, coordinate, regions=regions)
    assert np.isnan(result.flux[10:12, 100:120]).all()
    assert np.isfinite(result.flux[12:, 100:120]).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"flux": np.zeros((3, 4))}, r"flux has the shape \(3, 4\), coordinate \(23, 331\)"),
        ({"error": np.zeros((3, 4))}, r"error has the shape \(3, 4\)"),
        ({"wavelength": np.zeros(3)}, r"wavelength has the shape \(3,\)"),
        ({"regions": np.zeros((23, 331))}, "regions holds something else"),
        ({"regions": np.zeros((23, 331), int)}, "there is no slice"),
        ({"coordinate": np.zeros(4)}, r"coordinate has the shape \(4,\): expected \(row, column\)"),
        ({"coordinate": np.full((23, 331), np.nan)}, "there is no slice"),
        ({"flux": np.full((23, 331), np.nan)}, "no pixel has a finite flux and a positive error"),
        ({"error": np.zeros((23, 331))}, "no pixel has a finite flux and a positive error"),
        ({"mode": "NIRISS"}, "mode is 'NIRISS': expected one of NIRSpec IFU, "),
        ({"mode": "MIRI MRS"}, "regions has the slices 1: those of MIRI MRS are numbered 100"),
    ],
)
def test_what_is_refused(scene, change, message):
    given = dict(zip(("flux", "error", "coordinate"), scene, strict=True)) | change
    with pytest.raises(ValueError, match=message):
        oversample(given.pop("flux"), given.pop("error"), given.pop("coordinate"), **given)


def test_missing_coordinate_within_a_slice(scene):
    flux, error, coordinate = scene
    coordinate[7, 30] = np.nan
    with pytest.raises(ValueError, match=r"not finite at 1 pixels between .* row of slice 1"):
        oversample(flux, error, coordinate)
