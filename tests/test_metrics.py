import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from jwst_fusion.metrics import ergas, mean_spectrum_error, nmse, psnr, sam, ssim, uiqi

RNG = np.random.default_rng(11)
TRUTH = 5.0 + RNG.random((6, 24, 31)).cumsum(axis=2)
ESTIMATE = TRUTH + 0.3 * RNG.standard_normal(TRUTH.shape)


def test_perfect_estimates():
    assert psnr(TRUTH, TRUTH) == np.inf
    assert ssim(TRUTH, TRUTH) == pytest.approx(1.0, abs=1e-12)
    assert uiqi(TRUTH, TRUTH) == pytest.approx(1.0, abs=1e-12)
    assert sam(TRUTH, TRUTH) == pytest.approx(0.0, abs=1e-9)
    assert ergas(TRUTH, TRUTH, 3) == 0.0
    assert nmse(TRUTH, TRUTH) == 0.0
    assert nmse(TRUTH, TRUTH, decibel=True) == np.inf
    np.testing.assert_array_equal(mean_spectrum_error(TRUTH, TRUTH), np.zeros(6))


def test_psnr_against_scikit_image():
    reference = [
        peak_signal_noise_ratio(t, e, data_range=t.max())
        for t, e in zip(TRUTH, ESTIMATE, strict=True)
    ]
    assert psnr(TRUTH[0], ESTIMATE[0]) == pytest.approx(reference[0], rel=1e-12)
    assert psnr(TRUTH, ESTIMATE) == pytest.approx(np.mean(reference), rel=1e-12)


@pytest.mark.parametrize("offset", [0.0, 1e5])
def test_ssim_against_scikit_image(offset):
    for t, e in zip(TRUTH[:3] + offset, ESTIMATE[:3] + offset, strict=True):
        reference = structural_similarity(t, e, data_range=np.ptp(t), win_size=7)
        assert ssim(t, e) == pytest.approx(reference, rel=1e-12)
        reference = structural_similarity(t, e, data_range=t.max(), win_size=7)
        assert ssim(t, e, extent="peak") == pytest.approx(reference, rel=1e-12)
        reference = structural_similarity(
            t,
            e,
            data_range=255,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
        )
        assert ssim(t, e, window="gaussian", extent=255.0) == pytest.approx(reference, rel=1e-12)


def test_ssim_by_hand():
    t, e = TRUTH[0, :7, :7], ESTIMATE[0, :7, :7]
    c1, c2 = ((k * np.ptp(t)) ** 2 for k in (0.01, 0.03))
    (var_t, cov), (_, var_e) = np.cov(t.ravel(), e.ravel())
    top = (2 * t.mean() * e.mean() + c1) * (2 * cov + c2)
    bottom = (t.mean() ** 2 + e.mean() ** 2 + c1) * (var_t + var_e + c2)
    assert ssim(t, e) == pytest.approx(top / bottom, rel=1e-10)


def test_the_gaussian_window_ignores_what_touches_a_gap():
    t, e = TRUTH[0], ESTIMATE[0].copy()
    expected = structural_similarity(
        t[:, :20],
        e[:, :20],
        data_range=255,
        gaussian_weights=True,
        use_sample_covariance=False,
    )
    e[:, 20:] = np.nan
    assert ssim(t, e, window="gaussian", extent=255) == pytest.approx(expected, rel=1e-12)


def test_channels_without_a_range_have_no_ssim():
    truth, estimate = TRUTH.copy(), ESTIMATE.copy()
    truth[1] = 4.0
    others = [0, 2, 3, 4, 5]
    assert ssim(truth, estimate) == ssim(TRUTH[others], ESTIMATE[others])
    with pytest.raises(ValueError, match="extent"):
        ssim(truth[1], estimate[1])
    with pytest.raises(ValueError, match="window"):
        ssim(truth, estimate, window="box")
    with pytest.raises(ValueError, match="extent"):
        ssim(truth, estimate, extent="mean")
    with pytest.raises(ValueError, match="extent"):
        ssim(truth, estimate, extent=float("nan"))


def windows(image, size):
    return np.lib.stride_tricks.sliding_window_view(image, (size, size)).reshape(-1, size * size)


def test_uiqi_by_hand():
    t, e = windows(TRUTH[0], 8), windows(ESTIMATE[0], 8)
    cov = ((t - t.mean(1)[:, None]) * (e - e.mean(1)[:, None])).mean(1)
    power = t.mean(1) ** 2 + e.mean(1) ** 2
    quality = 4 * cov * t.mean(1) * e.mean(1) / ((t.var(1) + e.var(1)) * power)
    assert uiqi(TRUTH[0], ESTIMATE[0]) == pytest.approx(quality.mean(), rel=1e-10)


def test_uiqi_against_scikit_image(monkeypatch):
    # SSIM without constants is the same, but scikit-image has no windows of even size.
    monkeypatch.setattr("jwst_fusion.metrics.structure._UIQI_WINDOW", 7)
    reference = structural_similarity(TRUTH[0], ESTIMATE[0], K1=0, K2=0, data_range=1, win_size=7)
    assert uiqi(TRUTH[0], ESTIMATE[0]) == pytest.approx(reference, rel=1e-9)


@pytest.mark.parametrize("factor", [0.3, 1.0, 2.0])
def test_uiqi_of_scaled_images(factor):
    # Both luminance and contrast change: the square of 2 c / (1 + c^2), Wang & Bovik 2002, eq. 3.
    expected = (2 * factor / (1 + factor**2)) ** 2
    assert uiqi(TRUTH[0], factor * TRUTH[0]) == pytest.approx(expected, rel=1e-9)


def test_uiqi_of_constant_images():
    flat = np.full((9, 10), 3.0)
    assert uiqi(flat, flat) == 1.0
    assert uiqi(0 * flat, 0 * flat) == 1.0
    assert uiqi(flat, 2 * flat) == pytest.approx(0.8)


def test_ssim_falls_with_noise_and_ignores_windows_with_gaps():
    values = [ssim(TRUTH[0], TRUTH[0] + s * RNG.standard_normal((24, 31))) for s in (0.1, 1, 5)]
    assert 1 > values[0] > values[1] > values[2]
    holed = ESTIMATE[0].copy()
    holed[:, 20:] = np.nan
    # The range of the truth is that of the pixels that are compared.
    reference = structural_similarity(
        TRUTH[0, :, :20], ESTIMATE[0, :, :20], data_range=np.ptp(TRUTH[0, :, :20]), win_size=7
    )
    assert ssim(TRUTH[0], holed) == pytest.approx(reference, rel=1e-9)


def test_sam_of_known_angles():
    truth = np.zeros((2, 8, 8))
    truth[0] = 1.0
    angles = np.deg2rad(np.linspace(0, 60, 64)).reshape(8, 8)
    estimate = 3.0 * np.stack([np.cos(angles), np.sin(angles)])
    assert sam(truth, estimate) == pytest.approx(30.0, rel=1e-12)
    assert sam(truth, np.stack([np.ones((8, 8)), np.full((8, 8), 1e-9)])) == pytest.approx(
        np.rad2deg(1e-9), rel=1e-6
    )


def test_ergas_and_nmse_by_hand():
    truth = np.stack([np.full((4, 4), 2.0), np.full((4, 4), 10.0)])
    estimate = truth + np.array([0.2, -0.5])[:, None, None]
    relative = np.sqrt(np.mean([0.1**2, 0.05**2]))
    assert ergas(truth, estimate, 3) == pytest.approx(100 / 3 * relative)
    assert ergas(truth, estimate, 3, multiplied=True) == pytest.approx(300 * relative)
    value = (0.2**2 + 0.5**2) / (2.0**2 + 10.0**2)
    assert nmse(truth, estimate) == pytest.approx(value)
    assert nmse(truth, estimate, decibel=True) == pytest.approx(-10 * np.log10(value))


def test_mean_spectrum_error_is_signed_and_per_channel():
    factor = np.array([1.0, 1.1, 0.9, 1.0, 2.0, 1.0])
    error = mean_spectrum_error(TRUTH, TRUTH * factor[:, None, None])
    np.testing.assert_allclose(error, factor - 1.0, atol=1e-12)


@pytest.mark.parametrize(
    "measure", [psnr, ssim, uiqi, sam, nmse, lambda t, e, mask=None: ergas(t, e, 3, mask)]
)
@pytest.mark.parametrize("kind", ["mask", "cube mask", "NaN in truth", "NaN in estimate", "Inf"])
def test_pixels_left_out_do_not_matter(measure, kind):
    keep = np.ones((24, 31), dtype=bool)
    keep[:, :9] = False
    expected = measure(TRUTH[:, :, 9:], ESTIMATE[:, :, 9:])
    truth, estimate, mask = TRUTH.copy(), ESTIMATE.copy(), None
    if kind in ("mask", "cube mask"):
        estimate[:, ~keep] = 1e6
        mask = keep if kind == "mask" else np.broadcast_to(keep, truth.shape)
    elif kind == "NaN in truth":
        truth[:, ~keep] = np.nan
    else:
        estimate[:, ~keep] = np.inf if kind == "Inf" else np.nan
    assert measure(truth, estimate, mask=mask) == pytest.approx(expected, rel=1e-9)


def test_a_channel_without_data_is_left_out():
    estimate = ESTIMATE.copy()
    estimate[2] = np.nan
    others = [0, 1, 3, 4, 5]
    assert psnr(TRUTH, estimate) == pytest.approx(psnr(TRUTH[others], ESTIMATE[others]))
    assert ssim(TRUTH, estimate) == pytest.approx(ssim(TRUTH[others], ESTIMATE[others]))
    assert ergas(TRUTH, estimate, 2) == pytest.approx(ergas(TRUTH[others], ESTIMATE[others], 2))
    error = mean_spectrum_error(TRUTH, estimate)
    assert np.isnan(error[2])
    assert np.isfinite(error[others]).all()


@pytest.mark.parametrize("measure", [psnr, ssim, uiqi, sam, nmse, mean_spectrum_error])
def test_bad_input_is_named(measure):
    with pytest.raises(ValueError, match="same shape"):
        measure(TRUTH, ESTIMATE[:, 1:])
    with pytest.raises(ValueError, match="mask must have"):
        measure(TRUTH, ESTIMATE, mask=np.ones((3, 3), bool))
    with pytest.raises(ValueError, match="no pixel is valid"):
        measure(TRUTH, ESTIMATE * np.nan)
    with pytest.raises(ValueError, match="must have shape"):
        measure(TRUTH[0, 0], ESTIMATE[0, 0])


def test_undefined_measures_are_refused():
    zero = np.zeros((2, 9, 9))
    with pytest.raises(ValueError, match="zero"):
        nmse(zero, zero + 1)
    with pytest.raises(ValueError, match="zero"):
        ergas(zero, zero + 1, 3)
    with pytest.raises(ValueError, match="zero"):
        sam(zero, zero + 1)
    with pytest.raises(ValueError, match="ratio"):
        ergas(TRUTH, ESTIMATE, 0.5)
    with pytest.raises(ValueError, match="7 x 7"):
        ssim(TRUTH[:, :5, :5], ESTIMATE[:, :5, :5])
    with pytest.raises(ValueError, match="8 x 8"):
        uiqi(TRUTH[:, :7, :9], ESTIMATE[:, :7, :9])
