import numpy as np
import pytest
from scipy.special import erf

from jwst_fusion.psf.resample import native_field, resample_psf

# A sheared Gaussian is as good as band-limited and known everywhere: covariance [arcsec^2].
COVARIANCE = np.array([[0.0081, 0.0020], [0.0020, 0.0036]])
SCALE = 0.02
SIZE = 141


def gaussian(covariance, centre, x, y):
    inverse = np.linalg.inv(covariance)
    dx, dy = x - centre[0], y - centre[1]
    quadratic = inverse[0, 0] * dx**2 + 2 * inverse[0, 1] * dx * dy + inverse[1, 1] * dy**2
    return np.exp(-0.5 * quadratic)


def grid(npix, scale):
    step = (np.arange(npix) - (npix - 1) / 2) * scale
    return np.meshgrid(step, step)


def rotation(angle):
    c, s = np.cos(np.deg2rad(angle)), np.sin(np.deg2rad(angle))
    return np.array([[c, -s], [s, c]])


@pytest.fixture
def image():
    return gaussian(COVARIANCE, (0.11, -0.06), *grid(SIZE, SCALE))


@pytest.mark.parametrize("angle", [0.0, 17.3, 138.97, -75.0])
def test_rotation_and_broadening_against_the_analytic_gaussian(image, angle):
    out = resample_psf(image, SCALE, npix=57, pixel_scale=0.0271, angle=angle, broadening=0.05)
    turn = rotation(angle)
    widened = turn @ (COVARIANCE + 0.05**2 * np.eye(2)) @ turn.T
    truth = gaussian(widened, turn @ [0.11, -0.06], *grid(57, 0.0271))
    truth /= truth.sum()
    assert np.abs(out - truth).max() < 1e-5 * truth.max()
    assert out.sum() == pytest.approx(1.0, abs=1e-12)


@pytest.mark.parametrize("angle", [0.0, 31.0])
def test_box_is_exact_and_turned_with_the_output_grid(angle):
    sigma, width, tall = 0.05, 0.1, 0.23
    round_psf = gaussian(sigma**2 * np.eye(2), (0, 0), *grid(SIZE, SCALE))
    out = resample_psf(
        round_psf,
        SCALE,
        npix=41,
        pixel_scale=0.02,
        angle=12.0,
        pixel_kernels=[(width, tall, angle)],
    )
    x, y = grid(41, 0.02)
    c, s = np.cos(np.deg2rad(angle)), np.sin(np.deg2rad(angle))
    u, v = c * x + s * y, c * y - s * x

    def smeared(t, w):
        root = sigma * np.sqrt(2)
        return erf((t + w / 2) / root) - erf((t - w / 2) / root)

    truth = smeared(u, width) * smeared(v, tall)
    truth /= truth.sum()
    assert np.abs(out - truth).max() < 1e-5 * truth.max()


def test_two_pixel_kernels_are_two_convolutions(image):
    kernels = [(0.1, 0.06, 20.0), (0.05, 0.05, 0.0)]
    both = resample_psf(image, SCALE, npix=61, pixel_scale=SCALE, pixel_kernels=kernels)
    first = resample_psf(image, SCALE, npix=SIZE, pixel_scale=SCALE, pixel_kernels=kernels[:1])
    second = resample_psf(first, SCALE, npix=61, pixel_scale=SCALE, pixel_kernels=kernels[1:])
    assert np.abs(both - second).max() < 1e-4 * both.max()


def test_quarter_turn_counterclockwise_is_rot90_of_rows_that_run_upwards(image):
    still = resample_psf(image, SCALE, npix=41, pixel_scale=0.03)
    turned = resample_psf(image, SCALE, npix=41, pixel_scale=0.03, angle=90.0)
    np.testing.assert_allclose(turned, np.rot90(still, k=-1), atol=1e-8)
    # To the right and below the centre becomes to the right and above it.
    y, x = np.unravel_index(np.argmax(turned), turned.shape)
    assert x > 20
    assert y > 20


def test_centre_is_moved_to_the_middle_pixel(image):
    off = ((SIZE - 1) / 2 - 0.06 / SCALE, (SIZE - 1) / 2 + 0.11 / SCALE)
    out = resample_psf(image, SCALE, npix=31, pixel_scale=0.03, centre=off)
    np.testing.assert_allclose(out, out[::-1, ::-1], atol=1e-7 * out.max())


def test_native_field_holds_the_rotated_grid_and_the_pixel_kernels():
    field = native_field(91, 0.0333, [(0.1, 0.1, 0.0)], 0.05)
    assert field > 91 * 0.0333 * np.sqrt(2) + 0.14


@pytest.mark.parametrize("angle", [0.0, 30.0])
def test_beyond_the_image_there_is_nothing(angle):
    image = gaussian(0.01 * np.eye(2), (0.0, 0.0), *grid(61, SCALE))
    x, y = grid(151, 0.03)
    large = resample_psf(image, SCALE, npix=151, pixel_scale=0.03, angle=angle)
    assert large[np.hypot(x, y) > 0.62 * np.sqrt(2)].max() < 1e-15
    small = resample_psf(image, SCALE, npix=31, pixel_scale=0.03, angle=angle)
    assert large[60:-60, 60:-60] == pytest.approx(small, abs=1e-6)


def test_wings_of_an_image_with_an_eccentric_centre_stay_on_their_side():
    plane = grid(61, SCALE)
    image = gaussian(0.002 * np.eye(2), (0.4, 0.0), *plane)
    image += 0.1 * gaussian(0.002 * np.eye(2), (-0.5, 0.0), *plane)
    out = resample_psf(image, SCALE, npix=111, pixel_scale=SCALE, centre=(30, 50))
    assert out[55, 10] == pytest.approx(0.1 * out[55, 55], rel=1e-3)
    assert np.abs(out[:, 69:]).max() < 1e-4 * out.max()
