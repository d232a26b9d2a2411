import numpy as np
import pytest

from jwst_fusion.psf import (
    PsfCube,
    cache,
    chebyshev_nodes,
    count_nodes,
    interpolation_error,
    make_psf,
    nodes,
)
from jwst_fusion.psf.inventory import describe, fault_of, serves

IMAGE = ((0.0311, 0.0311, 30.0), (0.0311, 0.0311, 30.0), (1 / 30, 1 / 30, 0.0))
CUBE = ((0.1, 0.1, 30.0), (0.1, 0.1, 30.0), (0.1, 0.1, 0.0))
GRID = {"pixel_scale": 1 / 30, "npix": 61}


def direct_error(instrument, low, high, count, source="aperture", **grid):
    """Largest relative error of the OTF halfway between the nodes, against direct computation."""
    common = {**grid, "angle": 20.0, "source": source, "use_cache": False, "maximum_cores": "all"}
    nodes = chebyshev_nodes(low, high, count)
    between = np.interp(np.arange(count - 1) + 0.5, np.arange(count), nodes)
    psf = make_psf(instrument, wavelength=np.concatenate([nodes, between]), **common)
    otf = np.fft.fft2(psf.data[1::2])
    few = PsfCube(psf.data[::2], nodes, psf.pixel_scale, source)
    difference = np.fft.fft2(few.evaluate(between)) - otf
    return np.max(np.linalg.norm(difference, axis=(1, 2)) / np.linalg.norm(otf, axis=(1, 2)))


@pytest.mark.parametrize(
    ("instrument", "low", "high", "pixel_kernels", "tolerance"),
    [
        ("NIRCAM", 1.66, 2.3, IMAGE, 1e-3),
        ("NIRSPEC", 1.66, 2.3, CUBE, 3e-4),
        ("NIRSPEC", 0.97, 1.85, CUBE, 1e-3),
        ("NIRCAM", 3.2, 4.2, IMAGE, 3e-4),
    ],
)
def test_number_of_nodes_is_enough_and_not_lavish(instrument, low, high, pixel_kernels, tolerance):
    grid = {**GRID, "pixel_kernels": pixel_kernels}
    count = count_nodes(instrument, low, high, **grid, tolerance=tolerance)
    assert direct_error(instrument, low, high, count, **grid) < 1.3 * tolerance
    assert direct_error(instrument, low, high, count - 2, **grid) > tolerance


def test_estimate_agrees_with_direct_computation():
    for count in (4, 7, 10):
        grid = {**GRID, "pixel_kernels": IMAGE}
        estimate = interpolation_error("NIRCAM", 1.66, 2.3, count, **grid)
        assert estimate == pytest.approx(direct_error("NIRCAM", 1.66, 2.3, count, **grid), rel=0.3)


@pytest.mark.slow
@pytest.mark.parametrize(("instrument", "pixel_kernels"), [("NIRCAM", IMAGE), ("NIRSPEC", CUBE)])
def test_number_found_on_the_aperture_model_serves_stpsf(instrument, pixel_kernels, stpsf_path):
    grid = {**GRID, "pixel_kernels": pixel_kernels}
    count = count_nodes(instrument, 1.66, 2.3, **grid, tolerance=1e-3)
    error = direct_error(instrument, 1.66, 2.3, count, source="webbpsf", **grid)
    assert error < 1.5e-3


def test_wider_ranges_and_fields_need_more_nodes_and_broadening_fewer():
    def count(low=1.66, high=2.3, npix=61, **more):
        return count_nodes("NIRCAM", low, high, pixel_scale=1 / 30, npix=npix, **more)

    usual = count()
    assert count(low=1.2) > usual
    assert count(npix=121) >= usual
    assert count(broadening=0.1) < usual
    assert count(tolerance=1e-4) > usual > count(tolerance=1e-2)
    assert count(low=2.0, high=2.0005) == 2


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"tolerance": 0.0}, "tolerance"),
        ({"tolerance": np.nan}, "tolerance"),
        ({"low": 2.4}, "lo < hi"),
        ({"high": 3.0}, "one PSF cube per channel"),
        ({"npix": 20}, "odd"),
        ({"instrument": "NIRISS"}, "instrument"),
        ({"low": 0.6, "npix": 91, "tolerance": 1e-6}, "65 nodes"),
    ],
)
def test_bad_requests_are_named(change, text):
    good = {"instrument": "NIRCAM", "low": 1.66, "high": 2.3, **GRID, **change}
    with pytest.raises(ValueError, match=text):
        count_nodes(good.pop("instrument"), good.pop("low"), good.pop("high"), **good)


@pytest.mark.parametrize("count", [1, 66, 3.5])
def test_bad_counts_are_named(count):
    with pytest.raises(ValueError, match="count"):
        interpolation_error("NIRCAM", 1.66, 2.3, count, **GRID)


def test_number_is_remembered_and_listed(monkeypatch):
    given = {**GRID, "pixel_kernels": IMAGE, "tolerance": 1e-2}
    first = count_nodes("NIRCAM", 2.0, 2.2, **given)
    (entry,) = cache.entries()
    assert describe(entry).startswith("aperture NIRCAM_SW, number of wavelengths for 2.000 to 2.2")
    assert fault_of(entry) == ""
    assert serves(entry.key, filter_name="F210M")
    monkeypatch.setattr(nodes, "_Model", None)
    assert count_nodes("NIRCAM", 2.0, 2.2, **given) == first
    with pytest.raises(TypeError):
        count_nodes("NIRCAM", 2.0, 2.25, **given)
