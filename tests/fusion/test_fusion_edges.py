"""A prior that keeps edges: its weights, a disc with a sharp limb, stars beside it."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import scipy.ndimage as ndi
from analytic_scene import WAVELENGTH, make_scene, psnr
from scipy.signal import fftconvolve

from jwst_fusion.fusion.engine import fuse
from jwst_fusion.fusion.solver.edges import shared_edges, with_edges
from jwst_fusion.fusion.solver.evidence import LocalWeights
from jwst_fusion.fusion.solver.grid import Grid
from jwst_fusion.fusion.solver.iterative import WeightedSystem
from jwst_fusion.fusion.solver.operators import Imager, Spectrometer
from jwst_fusion.fusion.solver.point_sources import SourcePrior, point_groups
from jwst_fusion.fusion.solver.problem import LowRankProblem, choose_subspace, initial_mu
from jwst_fusion.fusion.solver.regularisation import SobolevPrior
from jwst_fusion.fusion.solver.settings import FusionSettings
from jwst_fusion.fusion.solver.whitening import usable_data

_SHAPE, _FACTOR, _BEYOND = (14, 15), 3, 16


def line(centre, height):
    return height * np.exp(-0.5 * ((WAVELENGTH - centre) / 0.006) ** 2)


def observed(maps, spectra, *, star=None, seed=0):
    """A scene of given maps (c, Y, X) and spectra (c, L), with `_BEYOND` pixels around the field.

    A star is (row, column, spectrum) in pixels of the images.
    """
    like = make_scene(margin=2).data
    rng = np.random.default_rng(seed)
    maps, spectra = list(maps), list(spectra)
    if star is not None:
        point = np.zeros(maps[0].shape)
        point[star[0] + _BEYOND, star[1] + _BEYOND] = 1.0
        maps, spectra = [*maps, point], [*spectra, star[2]]
    sky = np.array(maps)
    inner = (..., slice(_BEYOND, -_BEYOND), slice(_BEYOND, -_BEYOND))
    blurred = []
    for psf in (like.psf_image, like.psf_cube):
        nodes = np.array([[fftconvolve(one, p, "same")[inner] for one in sky] for p in psf])
        blurred.append(np.einsum("cl,lr,rcyx->lyx", np.array(spectra), like.psf_weights, nodes))
    truth, cube = blurred[0], blurred[1][:, 1::_FACTOR, 1::_FACTOR]
    images = np.tensordot(like.response, truth, 1)
    sigma = np.full(len(cube), np.median(cube) / 40)
    image_sigma = np.median(images, (1, 2)) / 150
    data = replace(
        like,
        cube=cube + sigma[:, None, None] * rng.normal(size=cube.shape),
        cube_sigma=sigma,
        spaxel_weight=np.ones(cube.shape[1:]),
        images=images + image_sigma[:, None, None] * rng.normal(size=images.shape),
        image_sigma=image_sigma,
        image_weight=np.ones(images.shape),
        sources=None if star is None else np.array([[star[1], star[0]]], float),
    )
    return SimpleNamespace(data=data, truth=truth)


def field():
    y, x = (np.arange(-_BEYOND, _FACTOR * n + _BEYOND) for n in _SHAPE)
    return y[:, None], x[None, :]


def disc():
    """A planet before a faint sky: a band of other colour, a limb as sharp as the pixels."""
    y, x = field()
    radius = np.hypot(y - 21.3, x - 20.7) / 13
    planet = 40 * np.sqrt(np.clip(1.2 - radius**2, 0, None)) * (radius < 1)
    band = 30 * np.exp(-0.5 * ((y - 18 - 0.2 * x) / 4) ** 2) * (radius < 1)
    sky = np.full(radius.shape, 10.0)
    slope = (WAVELENGTH - 2) / 0.3
    return observed(
        [planet, band, sky],
        [1 - 0.3 * slope + line(1.876, 0.8), 0.4 + line(2.122, 2), 0.5 + 0.2 * slope],
    ), radius


def cubic(scene):
    rows, columns = np.indices(scene.truth.shape[1:])
    at = [(rows - 1) / _FACTOR, (columns - 1) / _FACTOR]
    return np.array(
        [ndi.map_coordinates(one, at, order=3, mode="nearest") for one in scene.data.cube]
    )


@pytest.fixture(scope="module")
def planet():
    return disc()


@pytest.fixture(scope="module")
def results(planet):
    return {
        kind: fuse(planet[0].data, FusionSettings(regularisation=kind, sources="none"))
        for kind in ("sobolev", "edge_preserving")
    }


def test_a_limb_is_recovered_better_than_by_a_uniform_prior(planet, results):
    scene, radius = planet
    limb = np.abs(radius - 1)[_BEYOND:-_BEYOND, _BEYOND:-_BEYOND] < 0.12
    kept, smooth = results["edge_preserving"], results["sobolev"]
    assert kept.converged
    bicubic = psnr(scene.truth, cubic(scene))
    assert psnr(scene.truth, kept.cube) > psnr(scene.truth, smooth.cube) + 0.5 > bicubic + 6

    def rms(cube):
        return np.sqrt(np.mean((cube - scene.truth)[:, limb] ** 2))

    assert rms(kept.cube) < 0.9 * rms(smooth.cube) < 0.5 * rms(cubic(scene))


def test_errors_hold_at_the_limb_and_elsewhere(planet, results):
    scene, radius = planet
    result = results["edge_preserving"]
    pull = np.abs(result.cube - scene.truth) / result.error
    distance = np.abs(radius - 1)[_BEYOND:-_BEYOND, _BEYOND:-_BEYOND]
    for region in (distance < 0.12, (distance > 0.3) & (distance < 0.6)):
        assert 0.75 < np.quantile(pull[:, region], 0.683) < 1.25
    ratio = result.error / results["sobolev"].error
    assert np.median(ratio[:, distance < 0.08]) > 1.05 * np.median(ratio[:, distance > 0.3])


@pytest.mark.parametrize(
    ("regularisation", "options", "prior"),
    [
        ("auto", {}, "edge_preserving"),
        ("auto", {"exponent": 1}, "sobolev"),
        ("auto", {"tuning": "syfu"}, "sobolev"),
        ("auto", {"tuning": "manual", "mu": 1.0}, "sobolev"),
        ("auto", {"boundary": "mirror"}, "sobolev"),
        ("wavelet", {}, "wavelet"),
    ],
)
def test_the_prior_that_is_meant(regularisation, options, prior):
    assert FusionSettings(regularisation=regularisation, **options).prior == prior


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tuning": "syfu"}, "needs a tuning other than 'syfu'"),
        ({"exponent": 2.0}, "exponent is only used"),
    ],
)
def test_invalid_options(options, message):
    with pytest.raises(ValueError, match=message):
        FusionSettings(regularisation="edge_preserving", **options)


def weights_of(data):
    settings = FusionSettings(regularisation="edge_preserving", sources="none")
    data = usable_data(data)
    problem = LowRankProblem.pose(data, choose_subspace(data, settings), settings)
    mu = initial_mu(problem.subspace, data.factor, settings)
    problem.tune(mu, settings, tolerance=0.01)
    return problem, problem.edges[problem.window]


@pytest.fixture(scope="module")
def weighted(planet):
    return weights_of(planet[0].data)


def test_weights_follow_the_limb_and_not_the_unit(planet, weighted):
    scene, radius = planet
    problem, weights = weighted
    assert problem.edges.mean() == pytest.approx(1)
    assert problem.edges.min() > 0.005
    distance = np.abs(radius - 1)[_BEYOND:-_BEYOND, _BEYOND:-_BEYOND]
    assert np.median(weights[distance < 0.05]) < 0.3
    assert np.median(weights[distance > 0.3]) > 1
    data = scene.data
    scaled = replace(
        data,
        cube=1e4 * data.cube,
        cube_sigma=1e4 * data.cube_sigma,
        images=1e4 * data.images,
        image_sigma=1e4 * data.image_sigma,
    )
    np.testing.assert_allclose(weights_of(scaled)[1], weights, rtol=1e-3)


def test_neighbourhoods_share_every_pixel(weighted):
    problem, weights = weighted
    local = problem.local
    np.testing.assert_allclose(local.share.sum(0), 1)
    assert local.share.min() >= 0
    assert len(local.nodes) == len(local.prior) == len(local.fractions)
    seen = np.tensordot(np.log(local.prior), local.share, 1)[problem.window]
    assert np.corrcoef(seen.ravel(), np.log(weights).ravel())[0, 1] > 0.7
    for (image, cube, mu), level in zip(
        local.weights((2.0, 3.0), np.ones(2)), local.prior, strict=True
    ):
        np.testing.assert_allclose(mu, level)
        assert np.all(image >= 0)
        assert cube > 0


def small_system(rng, positions=None):
    grid = Grid(6, 7, 2)
    psf = rng.random((2, 1, 3, 5)) ** 2
    psf /= psf.sum((2, 3), keepdims=True)
    imager = Imager(grid, psf[0], rng.normal(size=(2, 1, 2)))
    spectrometer = Spectrometer(grid, psf[1], rng.normal(size=(3, 1, 2)))
    images, rows = rng.normal(size=(2, *grid.shape)), rng.normal(size=(3, 6, 7))
    one = np.ones_like(images), np.ones((6, 7))
    prior = SobolevPrior(grid)
    if positions is not None:
        prior = SourcePrior(prior, positions)
    system = WeightedSystem(imager, spectrometer, images, one[0], rows, one[1], prior=prior)
    return system, LocalWeights(*one)


@pytest.mark.parametrize("positions", [None, np.array([[3.3, 4.6], [9.2, 8.0]])])
def test_prior_with_shared_weights_is_symmetric_and_blind_to_sources(positions):
    rng = np.random.default_rng(1)
    system, _ = small_system(rng, positions)
    grid = system.grid
    weights = rng.uniform(0.1, 3, grid.shape)
    other = with_edges(system, weights / weights.mean())
    assert other.blocks is system.blocks
    np.testing.assert_allclose(other.prior.power, system.prior.power)
    x, y = rng.normal(size=(2, 2, *grid.shape))
    px, py = (grid.synthesise(other.prior.apply(grid.analyse(a))) for a in (x, y))
    assert np.sum(px * y) == pytest.approx(np.sum(x * py), rel=1e-10)
    assert np.all(other.prior.energy(grid.analyse(x)) > 0)
    if positions is not None:
        points = point_groups(grid, positions)
        np.testing.assert_allclose(other.prior.apply(points), 0, atol=1e-12)


def test_light_of_sources_is_no_edge():
    rng = np.random.default_rng(2)
    positions = np.array([[5.4, 6.3]])
    system, local = small_system(rng, positions)
    grid, mu = system.grid, np.array([1.0, 2.0])
    smooth = ndi.gaussian_filter(rng.normal(size=(2, *grid.shape)), (0, 2, 2), mode="wrap")
    groups = grid.analyse(smooth)
    light = point_groups(grid, positions) @ np.array([[300.0, -200.0]])
    free = np.array([1.5] * len(local.nodes))
    plain = shared_edges(system, local, groups, mu, free)[0]
    np.testing.assert_allclose(shared_edges(system, local, groups + light, mu, free)[0], plain)
    assert plain.mean() == pytest.approx(1)
    without, _ = small_system(np.random.default_rng(2))
    edges, _ = shared_edges(without, local, groups + light, mu, free)
    assert edges[6, 5] < 0.1 * plain[6, 5]


def test_weights_and_factor_are_those_of_the_distribution():
    rng = np.random.default_rng(3)
    system, local = small_system(rng)
    grid, mu = system.grid, np.array([1.0, 2.0])
    maps = rng.normal(size=(2, *grid.shape))
    free = np.array([1.5])
    weights, factor = shared_edges(system, local, grid.analyse(maps), mu, free)
    steps = [np.roll(maps, -1, axis) - maps for axis in (1, 2)]
    square = np.tensordot(mu, steps[0] ** 2 + steps[1] ** 2, 1)
    np.testing.assert_allclose(weights * factor, 2.5 / (1 + square), rtol=1e-10)


@pytest.mark.parametrize("options", [{"boundary": "mirror"}, {"gains": "fitted"}])
def test_other_options_keep_the_limb_too(planet, results, options):
    scene, radius = planet
    settings = FusionSettings(
        regularisation="edge_preserving", sources="none", errors=False, **options
    )
    result = fuse(scene.data, settings)
    assert result.converged
    limb = np.abs(radius - 1)[_BEYOND:-_BEYOND, _BEYOND:-_BEYOND] < 0.12
    assert np.all(result.gains == 1) == (settings.gains == "fixed")
    error = [np.std((one.cube - scene.truth)[:, limb]) for one in (result, results["sobolev"])]
    assert error[0] < error[1]


def test_given_strength_fits_the_weights_too(planet):
    scene, _ = planet
    found = {
        kind: fuse(
            scene.data,
            FusionSettings(
                regularisation=kind, tuning="manual", mu=0.05, sources="none", errors=False
            ),
        )
        for kind in ("sobolev", "edge_preserving")
    }
    np.testing.assert_allclose(found["edge_preserving"].mu, 0.05)
    difference = found["edge_preserving"].cube - found["sobolev"].cube
    assert np.abs(difference).max() > 0


@pytest.mark.parametrize("kind", ["edge_preserving", "wavelet"])
def test_star_of_odd_spectrum_keeps_it(kind):
    y, x = field()
    cloud = 20 * np.exp(-0.5 * (((y - 12) / 9) ** 2 + ((x - 30) / 12) ** 2))
    sky = np.full(cloud.shape, 15.0)
    spectrum = 900 * (1 - 0.5 * (WAVELENGTH - 2)) + line(2.05, 700)
    star = (20, 22, spectrum)
    scene = observed([cloud, sky], [0.3 + line(2.122, 3), 0.6 + 0.2 * (WAVELENGTH - 2)], star=star)
    settings = FusionSettings(regularisation=kind, sources="given")
    result = fuse(scene.data, settings)
    assert result.converged
    flux, error = result.sources.flux[0], result.sources.error[0]
    assert np.quantile(np.abs(flux - spectrum) / error, 0.683) < 1.3
    assert flux.mean() == pytest.approx(spectrum.mean(), rel=0.01)
    own = line(2.05, 1.0) > 0.5
    assert (flux - spectrum)[own].mean() == pytest.approx(0, abs=0.03 * 700)
    cloud_line = line(2.122, 1.0) > 0.5
    np.testing.assert_allclose(flux[cloud_line].mean(), spectrum[cloud_line].mean(), rtol=0.03)
    assert psnr(scene.truth, result.cube) > psnr(scene.truth, cubic(scene)) + 10
