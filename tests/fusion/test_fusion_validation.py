import numpy as np
import pytest

from jwst_fusion.fusion.observed.assemble import cube_arrays, cube_weights, image_arrays
from jwst_fusion.fusion.observed.photometry import Calibration
from jwst_fusion.fusion.observed.registration import CommonGrid
from jwst_fusion.fusion.solver.data import FusionData
from jwst_fusion.fusion.validation import assess, compare_image, table


@pytest.fixture
def data():
    rng = np.random.default_rng(4)
    channels, h, w, d = 12, 9, 10, 2
    cube = 50 + rng.normal(size=(channels, h, w))
    cube[:, 0, 0] = np.nan
    images = 80 + 30 * rng.normal(size=(2, d * h, d * w))
    images[1, :4] = np.nan
    spaxel_weight = np.ones((h, w))
    spaxel_weight[0] = 0
    response = np.zeros((2, channels))
    response[0, 1:4], response[1, 6:10] = 1 / 3, 1 / 4
    sigma = np.full(channels, 2.0)
    sigma[11] = np.nan
    psf = np.zeros((1, 5, 5))
    psf[:, 2, 2] = 1
    return FusionData(
        cube=cube,
        cube_sigma=sigma,
        spaxel_weight=spaxel_weight,
        images=images,
        image_sigma=np.array([3.0, 3.0]),
        image_weight=np.where(np.isfinite(images), 1.0, 0.0),
        response=response,
        psf_weights=np.ones((channels, 1)),
        psf_image=psf,
        psf_cube=psf,
        factor=d,
    )


def fine(cube):
    """The cube on fine pixels, with the mean of each spaxel unchanged."""
    texture = np.array([[0.9, 1.2], [1.1, 0.8]])
    return np.kron(cube, texture)


def test_perfect_model(data):
    quality = assess(data, data.images, data.cube, fine(data.cube))
    assert all(np.isinf(one.psnr) for one in quality.filters)
    assert [one.ssim for one in quality.filters] == pytest.approx([1.0, 1.0])
    assert quality.spectrum_error == quality.reobserved_error == 0
    assert not quality.channels.bias[:11].any()


def test_residuals_are_measured(data):
    quality = assess(data, data.images + 3.0, 1.02 * data.cube, fine(1.01 * data.cube))
    peak = np.nanmax(data.images[0])
    one = quality.filters[0]
    assert one.psnr == pytest.approx(20 * np.log10(peak / 3))
    assert one.psnr_ceiling == pytest.approx(20 * np.log10(peak / 3))
    assert one.chi2 == pytest.approx(1.0)
    assert one.relative_error == pytest.approx(3 / np.sqrt(np.mean(data.images[0] ** 2)))
    assert one.pixels == 18 * 20
    assert quality.filters[1].pixels == 14 * 20
    assert quality.spectrum_error == pytest.approx(0.01)
    assert quality.reobserved_error == pytest.approx(0.02)
    channels = quality.channels
    assert channels.spectrum_error[:11] == pytest.approx(np.full(11, 0.01))
    assert channels.bias[:11] == pytest.approx(0.02 * channels.cube[:11])
    assert channels.voxels.tolist() == [80] * 12
    assert np.isnan(channels.chi2[11])
    assert channels.chi2[0] == pytest.approx(0.25, rel=0.1)


def test_errors_of_the_mean_spectrum_have_a_sign(data):
    factor = 1 + 0.01 * np.arange(-6, 6)[:, None, None]
    channels = assess(data, data.images, data.cube, fine(factor * data.cube)).channels
    assert channels.spectrum_error == pytest.approx(factor[:, 0, 0] - 1)


def test_truth_reaches_the_ceiling():
    rng = np.random.default_rng(1)
    y, x = np.indices((60, 70))
    truth = 30 + 100 * np.exp(-((x - 30) ** 2 + (y - 25) ** 2) / 200)
    weight = rng.uniform(0.3, 2, truth.shape)
    weight[:3] = 0
    image = truth + 4.0 / np.sqrt(np.maximum(weight, 0.1)) * rng.standard_normal(truth.shape)
    image[:3] = np.nan
    one = compare_image(image, truth, weight, 4.0)
    assert one.psnr == pytest.approx(one.psnr_ceiling, abs=0.3)
    assert one.ssim == pytest.approx(one.ssim_ceiling, abs=0.02)
    assert one.ssim < 0.9
    assert one.chi2 == pytest.approx(1, abs=0.1)
    worse = compare_image(image, truth + 6, weight, 4.0)
    assert worse.psnr < worse.psnr_ceiling - 2


def test_only_the_field_counts(data):
    inner = (slice(2, 9), slice(1, 9))
    model = data.images.copy()
    model[:, :4] += 100
    quality = assess(data, model, data.cube, fine(data.cube), inner=inner)
    assert all(np.isinf(one.psnr) for one in quality.filters)


def test_small_and_empty_fields(data):
    inner = (slice(2, 4), slice(2, 5))
    quality = assess(data, data.images, data.cube, fine(data.cube), inner=inner)
    assert np.isnan(quality.filters[0].ssim)
    data.images[1] = np.nan
    assert np.isnan(assess(data, data.images, data.cube, fine(data.cube)).filters[1].psnr)


def test_table_of_the_report(data):
    quality = assess(data, data.images + 3.0, 1.02 * data.cube, fine(1.01 * data.cube))
    lines = table(
        quality, ["F182M", "F210M"], [Calibration(1.14, 0.002, 0.5), None], [(1.0, -2.0)] * 2
    )
    assert "F182M" in lines[2]
    assert "1.1400 +- 0.0020" in lines[2]
    assert "not calibrated" in lines[3]
    assert "1.000 %" in lines[-2]
    assert "re-observed 2.000 %" in lines[-2]
    assert "chi2 0.2" in lines[-1]


def test_margin_takes_spaxels_of_the_cube():
    cube = np.arange(2 * 6 * 7, dtype=float).reshape(2, 6, 7)
    good = np.ones(cube.shape, bool)
    good[:, 1, 1] = False
    field = (slice(1, 6), slice(0, 3))
    grid = CommonGrid(
        coarse=type("G", (), {"shape": (9, 7)})(),
        fine=None,
        factor=2,
        field=field,
        padding=((2, 2), (2, 2)),
    )
    placed, err = cube_arrays(cube, cube + 1, good, grid)
    assert placed.shape == (2, 9, 7)
    assert np.isnan(placed[:, 0]).all(), "below the cube"
    assert np.isnan(placed[:, :, :2]).all(), "left of the cube"
    assert np.isnan(placed[0, 2, 3]), "a bad voxel"
    assert np.array_equal(placed[0, 1, 2:], cube[0, 0, :5])
    assert np.array_equal(err[0, 1, 2:], cube[0, 0, :5] + 1)
    assert np.array_equal(placed[0, 2:7, 2:5][0, 2:], cube[0, 1, 2:3])


def test_weights_of_a_cube(caplog):
    rng = np.random.default_rng(0)
    err = np.ones((20, 6, 7)) * rng.uniform(1, 3, (20, 1, 1))
    err[:, 2, 2] *= 2
    cube = rng.normal(size=err.shape)
    cube[4, 2:] = np.nan
    cube[:, 5, 5] = np.nan
    cube[:15, 5, 6] = np.nan
    err[np.isnan(cube)] = np.nan
    sigma, weight = cube_weights(cube, err)
    assert np.isnan(sigma[4])
    assert np.isfinite(np.delete(sigma, 4)).all()
    assert weight[2, 2] == pytest.approx(0.25)
    assert weight[0, 0] == pytest.approx(1.0)
    assert weight[5, 5] == weight[5, 6] == 0
    assert "1 channels with data in less than half" in caplog.text


def test_weights_of_images():
    err = np.ones((1, 5, 5))
    err[0, 1, 1], err[0, 2, 2], err[0, 3, 3] = 2.0, 1e-6, 0.0
    data = np.ones((1, 5, 5))
    data[0, 0, 0] = np.nan
    sigma, weight = image_arrays(data, err)
    assert sigma == [1.0]
    assert weight[0, 1, 1] == 0.25
    assert weight[0, 2, 2] == 10, "no pixel may outweigh all others"
    assert weight[0, 0, 0] == weight[0, 3, 3] == 0
