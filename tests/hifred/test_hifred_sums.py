"""Errors of sums over fused cubes: against known covariances, against truth, and from products."""

from dataclasses import replace

import numpy as np
import pytest
from photutils.aperture import SkyCircularAperture
from scipy.ndimage import gaussian_filter
from stdatamodels.jwst import datamodels

from jwst_fusion import hifred
from jwst_fusion.hifred.response.response import Response
from jwst_fusion.hifred.solver.instrument_likelihood import InstrumentLikelihood
from jwst_fusion.hifred.solver.likelihood import Gaussian
from jwst_fusion.hifred.solver.posterior import LowRankPosterior
from jwst_fusion.hifred.solver.settings import HifredSettings
from jwst_fusion.hifred.solver.subspace_error import subspace_error
from jwst_fusion.hifred.solver.sums import sum_errors
from jwst_fusion.hifred.stored_posterior import packed, unpacked
from jwst_fusion.numerics.linear_measure import linear_measure
from jwst_fusion.simulation.xray import xray_pair
from jwst_fusion.step import HifredStep

CHANNELS, SHAPE = 40, (24, 21)


def disc(y, x, radius, shape=SHAPE):
    rows, columns = np.indices(shape)
    return np.hypot(rows - y, columns - x) < radius


@pytest.fixture(scope="module")
def known():
    """Posterior of correlated noise whose size varies over the field, and its exact covariance."""
    rng = np.random.default_rng(0)
    basis = rng.normal(size=(CHANNELS, 3))
    size = 1.0 + np.linspace(0, 3, SHAPE[1])

    def draws(count):
        noise = rng.normal(size=(count, 3, *SHAPE))
        return gaussian_filter(noise, (0, 0, 1.5, 1.5), mode="wrap") * size

    samples = draws(12).astype(np.float32)
    maps = np.zeros((3, *SHAPE))
    return LowRankPosterior(basis, maps, samples, maps, None), draws(2000)


@pytest.mark.parametrize("radius", [1.5, 3.1, 5.1])
@pytest.mark.parametrize("place", [(12, 5), (10, 14)])
def test_sums_have_the_errors_of_correlated_noise(known, radius, place):
    posterior, many = known
    cube = np.zeros((CHANNELS, *SHAPE))
    voxels = np.tensordot(posterior.basis, many, axes=(1, 1)).std(axis=1)
    weights = np.stack([np.ones(CHANNELS), np.sin(np.arange(CHANNELS))])
    mask = disc(*place, radius) * np.linspace(0.5, 1.0, SHAPE[0])[:, None]
    sums = np.einsum("lk,nk->ln", posterior.basis, (many * mask).sum(axis=(2, 3)))
    for chosen, truth in ((None, sums), (weights, weights @ sums)):
        measure = linear_measure(mask, chosen, cube.shape)
        found = sum_errors(posterior, measure, cube, voxels)
        assert found == pytest.approx(truth.std(axis=1), rel=0.35)
        assert np.mean(found / truth.std(axis=1)) == pytest.approx(1.0, abs=0.2)
    naive = np.sqrt(((voxels * mask) ** 2).sum(axis=(1, 2)))
    assert (naive < 0.7 * sums.std(axis=1)).all()


def test_noise_of_spectra_is_that_of_a_matrix_of_low_rank():
    rng = np.random.default_rng(4)
    channels, shape, rank = 60, (12, 10), 3
    basis = np.linalg.qr(rng.normal(size=(channels, rank)))[0]
    truth = basis @ (rng.normal(size=(rank, 120)) * np.array([[90.0], [60.0], [40.0]]))
    aperture = disc(5, 5, 2.5, shape).ravel()
    weights = np.stack([np.ones(channels), np.arange(channels) == 7, np.arange(channels) < 9])
    errors, stated = [], []
    for _ in range(150):
        data = truth + rng.normal(size=truth.shape)
        vectors = np.linalg.svd(data, full_matrices=False)[0][:, :rank]
        maps = vectors.T @ data
        errors.append(weights @ ((vectors @ maps - truth) @ aperture))
        likelihood = Gaussian(data, np.ones_like(data), None)
        response = Response((channels, *shape), shape)
        instrument = InstrumentLikelihood(likelihood, response, vectors)
        more = subspace_error([instrument], vectors, maps.reshape(rank, *shape))
        # all components are in the data, nothing is penalised: noise of maps, and of spectra
        size = aperture @ maps.T @ more.inverse @ maps @ aperture
        scaled, span = weights * more.row, more.directions(vectors)
        noise = size * ((scaled**2).sum(axis=1) - ((scaled @ span) ** 2).sum(axis=1))
        stated.append(noise + ((weights @ vectors) ** 2).sum(axis=1) * aperture.sum())
    assert np.std(errors, axis=0) == pytest.approx(np.sqrt(np.mean(stated, axis=0)), rel=0.15)


@pytest.fixture(scope="module")
def fused():
    cases = []
    for seed in (1, 2, 3):
        pair = xray_pair(
            "small",
            seed=seed,
            fine=240,
            coarse=24,
            shape=(24, 24),
            counts=(8e5, 8e5),
            energies=(0.7, 0.88),
        )
        x = Response.build(pair.truth.shape, spectral=pair.rmf_x, arf=pair.arf_x)
        y = Response.build(pair.truth.shape, psf=pair.psf_y, rebin=(1, 3, 3), arf=pair.arf_y)
        cases.append((pair, hifred.fuse(pair.x, pair.y, x, y)))
    return cases


@pytest.mark.parametrize("width", [1, 5, 20, 100])
@pytest.mark.parametrize("radius", [1.5, 3.1, 5.1])
def test_sums_are_as_far_from_truth_as_stated(fused, radius, width):
    """68 % of sums in the bright half of the field: the errors hold, those of ERR do not."""
    pulls, naive = [], []
    for pair, result in fused:
        error = result.cube - pair.truth
        weights = np.stack([np.arange(240) // width == k for k in range(240 // width)]) * 1.0
        image = pair.truth.mean(axis=0)
        for y, x in zip(*np.nonzero(image > np.median(image)), strict=True):
            if (y + 2 * x) % 11 or not (4 < y < 19 and 4 < x < 19):
                continue
            mask = disc(y, x, radius, (24, 24))
            true = weights @ (error * mask).sum(axis=(1, 2))
            pulls.append(true / hifred.error_of(result, mask, weights))
            naive.append(true / np.sqrt(weights @ (result.error**2 * mask).sum(axis=(1, 2))))
    quantile = np.quantile(np.abs(np.concatenate(pulls)), 0.68)
    assert 0.75 < quantile < 1.2
    assert np.quantile(np.abs(np.concatenate(naive)), 0.68) > 1.05 * quantile


def test_a_voxel_has_the_error_in_err(fused):
    _, result = fused[0]
    for y, x in ((12, 12), (8, 15), (16, 7)):
        found = hifred.error_of(result, np.arange(576).reshape(24, 24) == 24 * y + x)
        assert found == pytest.approx(result.error[:, y, x], rel=5e-3)


def test_the_stored_posterior_is_small_and_the_same(fused):
    _, result = fused[0]
    arrays = packed(result.posterior)
    assert sum(one.nbytes for one in arrays.values()) <= result.cube.nbytes
    again = replace(result, posterior=unpacked(arrays))
    mask = disc(12, 12, 3.1, (24, 24))
    assert hifred.error_of(again, mask) == pytest.approx(hifred.error_of(result, mask), rel=0.01)
    # with hardly more channels than components, fewer samples are kept
    wide = np.ones((12, 10))
    few = LowRankPosterior(
        wide, np.ones((10, 30, 30)), np.ones((12, 10, 30, 30)), np.ones((10, 30, 30)), None
    )
    assert len(packed(few)["posterior_samples"]) == 2


def test_full_cubes_have_errors_of_sums(fused):
    pair, _ = fused[0]
    shape = pair.truth.shape
    x = Response.build(shape, spectral=pair.rmf_x, arf=pair.arf_x)
    y = Response.build(shape, psf=pair.psf_y, rebin=(1, 3, 3), arf=pair.arf_y)
    options = HifredSettings(regularisation="wavelet_2d1d", kappa=2.0, tolerance=1e-3)
    result = hifred.fuse(pair.x, pair.y, x, y, options)
    assert result.posterior.subspace is None
    pulls, naive = [], []
    for y, x in ((12, 12), (9, 15), (15, 8), (8, 8), (16, 16)):
        mask = disc(y, x, 3.1, (24, 24))
        true = ((result.cube - pair.truth) * mask).sum(axis=(1, 2))
        pulls.append(true / hifred.error_of(result, mask))
        naive.append(true / np.sqrt((result.error**2 * mask).sum(axis=(1, 2))))
    quantile = np.quantile(np.abs(pulls), 0.68)
    assert 0.4 < quantile < 2.2
    assert np.quantile(np.abs(naive), 0.68) > 1.1 * quantile


def test_products_tell_errors_of_sums(tmp_path, s3d_pair):
    _, _, models = s3d_pair(shape=(24, 24))
    options = {"psf_fwhm": 0.177, "mu": 1e-3, "error_samples": 4}
    product = HifredStep.call(list(models), **options)
    assert product.meta.hifred.sums.startswith("jwst_fusion.hifred.error_of")
    path = tmp_path / "fused_hifred.fits"
    product.save(str(path))
    aperture = disc(11, 13, 3.1, (24, 24))
    channels = len(product.data)
    weights = np.stack([np.ones(channels), np.arange(channels) < 9])
    expected = hifred.error_of(product, aperture, weights)
    assert (expected > 0).all()
    assert hifred.error_of(path, aperture, weights) == pytest.approx(expected, rel=1e-5)
    with datamodels.open(path) as opened:
        found = hifred.error_of(opened, aperture, weights)
        assert found == pytest.approx(expected, rel=1e-5)
        ra, dec, _ = opened.meta.wcs(13.0, 11.0, 0.0)
    assert hifred.error_of(str(path), aperture).shape == (channels,)
    # the same on the sky
    from astropy import units as u
    from astropy.coordinates import SkyCoord

    on_sky = SkyCircularAperture(SkyCoord(ra, dec, unit="deg"), r=3.1 * 0.05 * u.arcsec)
    exact = on_sky.to_pixel(product_wcs(models[0])).to_mask().to_image((24, 24))
    for one in (product, path):
        found = hifred.error_of(one, on_sky, weights)
        assert found == pytest.approx(hifred.error_of(one, exact, weights), rel=1e-3)
    # channels in the other order
    fine = models[1]
    fine.data, fine.err = fine.data[::-1].copy(), fine.err[::-1].copy()
    info = fine.meta.wcsinfo
    info.crval3, info.cdelt3 = info.crval3 + info.cdelt3 * (len(fine.data) - 1), -info.cdelt3
    falling = HifredStep.call(list(models), **options)
    found = hifred.error_of(falling, aperture, weights[:, ::-1])
    assert found == pytest.approx(expected, rel=0.02)
    with pytest.raises(ValueError, match=r"has no posterior.*errors = True"):
        hifred.error_of(HifredStep.call(list(models), **(options | {"errors": False})))


def product_wcs(model):
    from jwst_fusion.products.keywords import celestial_wcs

    return celestial_wcs(model, "sharp")


def test_counts_tell_errors_of_sums(tmp_path, xray_files):
    _, files = xray_files
    product = HifredStep.call(str(files), mu=1e-3, rank=6, error_samples=3)
    assert product.header["HIFSUMS"].startswith("jwst_fusion.hifred.error_of")
    path = tmp_path / "remnant_hifred.fits"
    product.save(str(path))
    mask = np.zeros(product.data.shape[1:])
    mask[10:14, 8:12] = 1
    expected = hifred.error_of(product, mask)
    assert (expected > 0).all()
    assert hifred.error_of(path, mask) == pytest.approx(expected, rel=1e-5)
