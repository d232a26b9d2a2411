"""Both styles of the NIRSpec IFU's WCS with the instrument's own geometry."""

import numpy as np
import pytest
from jwst.assign_wcs import AssignWcsStep
from jwst.assign_wcs.nirspec import nrs_wcs_set_input
from stdatamodels.jwst import datamodels

from jwst_fusion.adaptive_trace_model import smooth_map
from jwst_fusion.adaptive_trace_model.geometry import GeometryError, NirspecIfuGeometry
from jwst_fusion.adaptive_trace_model.interpolation import interpolate_smooth
from jwst_fusion.adaptive_trace_model.slices import find_slices
from jwst_fusion.simulation import reference_geometry
from jwst_fusion.simulation.exposures import new_nirspec_exposure
from jwst_fusion.steps.adaptive_trace_model import AdaptiveTraceModelStep

METADATA = {"ra": 150.0, "dec": 20.0, "roll": 30.0}


@pytest.fixture(scope="module")
def reference_folder(data_dir):
    folder = data_dir / "nirspec_ifu_refs"
    if not folder.is_dir():
        pytest.skip(f"no reference files in {folder}")
    return folder


@pytest.fixture(scope="module")
def by_coordinates(reference_folder):
    return reference_geometry.nirspec_exposure(reference_folder, **METADATA)


@pytest.fixture(scope="module")
def by_slice(reference_folder):
    """The same exposure with a slice-style WCS."""

    class SliceStyle(AssignWcsStep):
        spec = """
        nrs_ifu_slice_wcs = boolean(default=True)
        """

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reference_geometry, "AssignWcsStep", SliceStyle)
        return reference_geometry.nirspec_exposure(reference_folder, **METADATA)


@pytest.mark.slow
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


@pytest.mark.slow
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


@pytest.mark.slow
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


def test_foreign_wcs_is_told_apart():
    exposure = new_nirspec_exposure(**METADATA)
    with pytest.raises(GeometryError, match="no WCS"):
        NirspecIfuGeometry(exposure)


@pytest.mark.slow
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


def test_transforms_that_are_not_smooth_are_evaluated_at_every_pixel():
    layout = find_slices(np.ones((20, 400), dtype=int))[0]

    def steps(x, y):
        return y + 0.01 * np.floor(x / 7), x

    rows, columns = np.broadcast_arrays(*layout.index())
    found = smooth_map.evaluate_smooth(steps, layout, layout.inside)
    np.testing.assert_allclose(found[0], rows + 0.01 * (columns // 7))
