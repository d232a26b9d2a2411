"""A scene whose observations by both instruments and whose truth are known in closed form."""

from types import SimpleNamespace

import numpy as np

from jwst_fusion.fusion.solver.data import FusionData

WAVELENGTH = np.linspace(1.7, 2.3, 150)
NODES = 2.0 + 0.3 * np.cos(np.pi * (np.arange(6) + 0.5) / 6)
# share, shift in y and x, width, at 2 um and in fine pixels: PSFs without any symmetry
IMAGER = ((0.75, 0.0, 0.0, 0.9), (0.25, 1.2, -2.1, 1.5))
CUBE = ((0.7, 0.0, 0.0, 2.0), (0.3, -2.4, 3.0, 2.6))


def gaussians(psf, wavelength):
    """Share, shifts and width of the PSF, which grows with the wavelength."""
    scale = wavelength / 2.0
    return [(a, dy * scale, dx * scale, s * scale) for a, dy, dx, s in psf]


def render_psf(psf, wavelength, half=16):
    axis = np.arange(-half, half + 1)
    image = 0
    for a, dy, dx, s in gaussians(psf, wavelength):
        y, x = (np.exp(-0.5 * ((axis - shift) / s) ** 2) / s for shift in (dy, dx))
        image = image + a * np.outer(y, x)
    return image / image.sum()


def blobs(rng, size, background):
    """Components as lists of (amplitude, y, x, width): stars, clumps, a ridge, a background."""
    places = rng.uniform(-10, size + 10, (26, 2))
    stars = [(rng.uniform(5, 60), y, x, 0.9) for y, x in places[:12]]
    clumps = [(rng.uniform(3, 9), y, x, rng.uniform(1.5, 4)) for y, x in places[12:]]
    ridge = [(4.0, t, 0.3 * size + 0.5 * t, 1.6) for t in np.linspace(-8, size + 8, 24)]
    return [stars, clumps, ridge, [(background, 0.4 * size, 0.6 * size, 0.6 * size)]]


def spectra():
    def line(centre, height):
        return height * np.exp(-0.5 * ((WAVELENGTH - centre) / 0.006) ** 2)

    x = (WAVELENGTH - 2) / 0.3
    return np.array(
        [
            1 - 0.4 * x,
            0.3 + 0.2 * x + line(1.876, 5) + line(2.166, 2),
            0.2 + line(2.122, 4) + line(1.958, 3),
            1 + 0.5 * x**2,
        ]
    )


def observe(components, psf, y, x):
    """Cube (L, y, x): every blob and PSF part is a Gaussian, and so is their convolution."""
    cube = np.zeros((len(WAVELENGTH), len(y), len(x)))
    for spectrum, members in zip(spectra(), components, strict=True):
        for amplitude, y0, x0, width in members:
            for i, wavelength in enumerate(WAVELENGTH):
                for a, dy, dx, s in gaussians(psf, wavelength):
                    v = width**2 + s**2
                    gy = np.exp(-0.5 * (y - y0 - dy) ** 2 / v)
                    gx = np.exp(-0.5 * (x - x0 - dx) ** 2 / v)
                    cube[i] += spectrum[i] * amplitude * a * width**2 / v * np.outer(gy, gx)
    return cube


def make_scene(factor=3, shape=(10, 11), margin=0, seed=4, noise=1.0, background=15.0):
    rng = np.random.default_rng(seed)
    fine = [np.arange(-factor * margin, factor * (n + margin)) for n in shape]
    coarse = [factor * np.arange(n) + (factor - 1) / 2 for n in shape]
    components = blobs(rng, factor * max(shape), background)
    sharp, blurred = observe(components, IMAGER, *fine), observe(components, CUBE, *coarse)
    bands = [(1.72, 1.97), (1.86, 1.89), (1.75, 2.23), (1.99, 2.2), (2.11, 2.135)]
    response = np.array([(WAVELENGTH > lo) & (WAVELENGTH < hi) for lo, hi in bands], float)
    response *= np.array([1.06, 1, 1.03, 1, 1.08])[:, None] / response.sum(1, keepdims=True)
    images = np.tensordot(response, sharp, 1)
    sigma = noise * np.median(blurred, (1, 2)) / 40
    image_sigma = noise * np.median(images, (1, 2)) / 150
    images += image_sigma[:, None, None] * rng.normal(size=images.shape)
    cube = blurred + sigma[:, None, None] * rng.normal(size=blurred.shape)
    pad = [(0, 0), (margin, margin), (margin, margin)]
    angle = np.arccos(np.clip((WAVELENGTH[:, None] - 2.0) / 0.3, -1, 1))
    order = np.arange(len(NODES))
    chebyshev = np.cos(order[:, None] * np.arccos((NODES - 2.0) / 0.3))
    data = FusionData(
        cube=np.pad(cube, pad, constant_values=np.nan),
        cube_sigma=sigma,
        spaxel_weight=np.pad(np.ones(shape), margin),
        images=images,
        image_sigma=image_sigma,
        image_weight=np.ones(images.shape),
        response=response,
        psf_weights=np.linalg.solve(chebyshev, np.cos(order * angle).T).T,
        psf_image=np.array([render_psf(IMAGER, n) for n in NODES]),
        psf_cube=np.array([render_psf(CUBE, n) for n in NODES]),
        factor=factor,
    )
    inner = np.s_[:, factor * margin : factor * (margin + shape[0])]
    inner += (slice(factor * margin, factor * (margin + shape[1])),)
    return SimpleNamespace(data=data, truth=sharp, blurred=blurred, inner=inner, margin=margin)


def psnr(truth, estimate):
    return np.mean(10 * np.log10(truth.max((1, 2)) ** 2 / np.mean((truth - estimate) ** 2, (1, 2))))


def score(scene, result):
    return psnr(scene.truth[scene.inner], result.cube[scene.inner])


def calibration(scene, result, inner=None):
    """68.3 % quantile of |error| / sigma: 1 if the errors are right."""
    inner = inner or scene.inner
    ratio = np.abs(result.cube[inner] - scene.truth[inner]) / result.error[inner]
    return np.quantile(ratio, 0.683)
