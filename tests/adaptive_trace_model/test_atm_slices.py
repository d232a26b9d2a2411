"""Cutting slices out of images and putting them back."""

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st

from jwst_fusion.adaptive_trace_model.slices import (
    find_slices,
    oversampled_position,
    oversampled_size,
)


def tilted_regions(n_row=60, n_column=40):
    regions = np.zeros((n_row, n_column), dtype=np.int32)
    row = np.arange(n_row)[:, None] - (np.arange(n_column) // 9)[None]
    regions[(row >= 3) & (row < 17)] = 2
    regions[(row >= 17) & (row < 30)] = 5
    regions[:, 33:] = np.where(regions[:, 33:] == 5, 0, regions[:, 33:])
    return regions


def test_cut_holds_every_pixel_once():
    regions = tilted_regions()
    image = np.random.default_rng(0).normal(size=regions.shape)
    layouts = find_slices(regions)
    assert [layout.label for layout in layouts] == [2, 5]
    for layout in layouts:
        values = layout.cut(image)
        np.testing.assert_array_equal(np.isfinite(values), layout.inside)
        assert (
            np.sort(values[layout.inside]).tolist()
            == np.sort(image[regions == layout.label]).tolist()
        )


@example(factor=1.35)
@given(factor=st.floats(1.0, 6.0))
def test_oversampled_rows_belong_to_exactly_one_slice(factor):
    regions = tilted_regions()
    size = oversampled_size(len(regions), factor)
    image = np.zeros((size, regions.shape[1]), dtype=int)
    count = np.zeros_like(image)
    for layout in find_slices(regions):
        rows, valid, position = layout.oversampled_rows(factor)
        column, j = np.nonzero(valid)
        np.add.at(count, (rows[column, j], column + layout.first_column), 1)
        layout.paste([image], rows, valid, [np.full(valid.shape, layout.label)])
        native = np.broadcast_to(position, valid.shape) + layout.first_row[:, None]
        np.testing.assert_allclose(
            native[valid], oversampled_position(rows, factor)[valid], atol=1e-9
        )
    nearest = np.floor((np.arange(size) + 0.5) / factor).astype(int)
    np.testing.assert_array_equal(image, regions[np.minimum(nearest, len(regions) - 1)])
    assert count.max() == 1


def test_positions_are_centred():
    # Two new rows share the native row 0, three the native row 1.
    np.testing.assert_allclose(oversampled_position(np.arange(2), 2), [-0.25, 0.25])
    np.testing.assert_allclose(oversampled_position(np.arange(3, 6), 3), [2 / 3, 1, 4 / 3])


def test_hole_in_a_slice_stays_outside():
    regions = tilted_regions()
    regions[8, 10] = 0
    layout = find_slices(regions)[0]
    rows, valid, _ = layout.oversampled_rows(2.0)
    image = np.zeros((oversampled_size(60, 2.0), 40))
    layout.paste([image], rows, valid, [np.ones(valid.shape)])
    assert (image[16:18, 10] == 0).all()
    assert (image[14:16, 10] == 1).all()
