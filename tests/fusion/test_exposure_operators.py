"""Exposures and images at their native pixels: what they see of known scenes; exact adjoints."""

import numpy as np
import pytest
import scipy.fft as sf

from jwst_fusion.fusion.exposures import nuisance
from jwst_fusion.fusion.exposures.image_operator import ImageOperator
from jwst_fusion.fusion.exposures.nuisance import Elimination, Parameter
from jwst_fusion.fusion.exposures.operator import ExposureOperator, PlacedPixels, psf_modes
from jwst_fusion.fusion.exposures.problem import PixelData, SceneProblem
from jwst_fusion.fusion.exposures.sampling import FineSampler, line_taps, prefilter, sky_taps
from jwst_fusion.fusion.exposures.spectra import ChannelAxis, SplineSpectra
from jwst_fusion.fusion.solver.grid import Grid
from jwst_fusion.fusion.solver.point_sources import point_groups
from jwst_fusion.numerics.conjugate_gradients import conjugate_gradients
from jwst_fusion.psf import PsfCube

SHAPE = 60, 45  # not square, even and odd
WAVELENGTH = np.linspace(1.8, 2.2, 41) ** 1.01  # not quite evenly spaced


def asymmetric_psf(seed=3, width=1.6):
    """PSFs at three wavelengths without any symmetry."""
    y, x = np.indices((13, 11)) - np.array([6, 5])[:, None, None]
    planes = []
    for node in range(3):
        sigma = width * (1 + 0.3 * node)
        plane = np.exp(-0.5 * (x**2 + 1.5 * y**2 + 0.6 * x * y) / sigma**2)
        plane += 0.2 * np.exp(-0.5 * ((x - 2) ** 2 + (y + 1.5) ** 2) / sigma**2)
        planes.append(plane / plane.sum())
    wavelength = np.linspace(WAVELENGTH[0], WAVELENGTH[-1], 3)
    return PsfCube(np.array(planes), wavelength, 0.03, "test")


def pixels(rng, slices=6, count=400):
    """Pixels of curved, tilted slices."""
    x, y, label = [], [], []
    for number in range(slices):
        along = rng.uniform(0, 30, count)
        x.append(6 + 0.9 * along + 2.0 * number * 0.4 + 1e-3 * (along - 15) ** 2)
        y.append(8 + 0.4 * along + 4.0 * number)
        label.append(np.full(count, number + 1))
    x, y, label = (np.concatenate(one) for one in (x, y, label))
    # Any order of the pixels must do.
    order = rng.permutation(len(x))
    wavelength = rng.uniform(WAVELENGTH[0], WAVELENGTH[-1], len(x))
    return PlacedPixels(x[order], y[order], wavelength, label[order], rng.random(len(x)) > 0.05)


@pytest.fixture
def scene():
    rng = np.random.default_rng(7)
    grid, axis = Grid(*SHAPE, 1), ChannelAxis(WAVELENGTH)
    basis = rng.standard_normal((len(WAVELENGTH), 3))
    spectra = SplineSpectra.through(axis, rng.standard_normal(len(WAVELENGTH)), basis)
    maps = rng.standard_normal((3, *SHAPE))
    return rng, grid, axis, spectra, grid.analyse(maps)


def check_adjoint(grid, operator, groups, rng):
    values = rng.standard_normal(operator.size)
    seen = operator.forward(groups).astype(float)
    back = operator.adjoint(values)
    other = grid.multiplicity @ (groups.conj() * back).real.sum((1, 2))
    scale = np.linalg.norm(seen) * np.linalg.norm(values)
    assert abs(seen @ values - other) < 1e-5 * scale
    # Not by chance: the two sides are far larger than that.
    assert abs(other) > 1e-3 * scale


def test_exposures_have_their_adjoint(scene):
    rng, grid, axis, spectra, groups = scene
    operator = ExposureOperator(grid, asymmetric_psf(), axis, [pixels(rng), pixels(rng, 4)])
    operator.set_spectra(spectra)
    assert [part.stop - part.start for part in operator.parts] == [
        len(source) for source in operator.source
    ]
    check_adjoint(grid, operator, groups, rng)


def test_images_have_their_adjoint(scene):
    rng, grid, axis, spectra, groups = scene
    responses = rng.random((2, len(WAVELENGTH)))
    positions = [rng.uniform(2, 40, (2, count)) for count in (300, 171)]
    operator = ImageOperator(grid, asymmetric_psf(width=0.9), axis, responses, positions)
    operator.set_spectra(spectra)
    check_adjoint(grid, operator, groups, rng)


def waves(grid, x, y):
    """A smooth periodic map at any position."""
    one = np.cos(2 * np.pi * (2 * x / grid.shape[1] + 3 * y / grid.shape[0]) + 0.3)
    return one + 0.5 * np.sin(2 * np.pi * (4 * x / grid.shape[1] - y / grid.shape[0]))


def test_pixels_see_the_blurred_scene_at_their_place_and_wavelength(scene):
    rng, grid, axis, _, _ = scene
    y, x = np.indices(SHAPE)
    slope = np.linspace(1.0, 2.0, len(WAVELENGTH))
    spectra = SplineSpectra.through(axis, np.full(len(WAVELENGTH), 5.0), slope[:, None])
    groups = grid.analyse(waves(grid, x, y)[None])
    psf, exposure = asymmetric_psf(), pixels(rng)
    operator = ExposureOperator(grid, psf, axis, [exposure])
    operator.set_spectra(spectra)
    seen = operator.mean(spectra) + operator.forward(groups)
    chosen = operator.source[0]
    assert set(chosen) == set(np.flatnonzero(exposure.usable))
    at_x, at_y = exposure.x[chosen], exposure.y[chosen]
    wavelength = exposure.wavelength[chosen]
    blurred = 0.0
    offsets = np.indices(psf.data.shape[1:]) - np.array([6, 5])[:, None, None]
    for dy, dx, weight in zip(
        *offsets.reshape(2, -1), psf.evaluate(wavelength).reshape(len(chosen), -1).T, strict=True
    ):
        blurred = blurred + weight * waves(grid, at_x - dx, at_y - dy)
    expected = 5 + np.interp(wavelength, WAVELENGTH, slope) * blurred
    np.testing.assert_allclose(seen, expected, atol=2e-3)
    # A transfer function on the way, here a shift, acts on the maps.
    phase = np.exp(-2j * np.pi * np.fft.rfftfreq(grid.shape[1]) * 3)[None, :]
    moved = operator.forward(groups, phase)
    rolled = grid.analyse(np.roll(waves(grid, x, y), 3, axis=1)[None])
    np.testing.assert_allclose(moved, operator.forward(rolled), atol=1e-4)


@pytest.mark.parametrize("kind", ["exposure", "image"])
def test_stars_are_as_sharp_as_their_psf(kind):
    """Splines that interpolate on the fine grid itself would make them 1 to 2 % wider."""
    rng, grid, axis = np.random.default_rng(11), Grid(*SHAPE, 1), ChannelAxis(WAVELENGTH)
    sigma, star = 1.05, np.array([22.3, 30.6])
    y, x = np.indices((21, 21)) - 10
    plane = np.exp(-0.5 * (x**2 + y**2) / sigma**2)
    psf = PsfCube(plane[None] / plane.sum(), np.array([2.0]), 0.03, "test")
    if kind == "image":
        at = star[:, None] + rng.uniform(-4, 4, (2, 800))
        responses = np.full((1, len(WAVELENGTH)), 1 / len(WAVELENGTH))
        operator = ImageOperator(grid, psf, axis, responses, [at])
    else:
        placed = pixels(rng, slices=12, count=800)
        operator = ExposureOperator(grid, psf, axis, [placed])
        at = np.array([placed.x, placed.y])[:, operator.source[0]]
    ones = np.ones((len(WAVELENGTH), 1))
    operator.set_spectra(SplineSpectra.through(axis, 0 * ones[:, 0], ones))
    seen = operator.forward(point_groups(grid, star[None]))
    distance = np.sum((at - star[:, None]) ** 2, axis=0)
    expected = np.exp(-0.5 * distance / sigma**2) / (2 * np.pi * sigma**2)
    near = distance < 16
    assert np.count_nonzero(near) > 100
    assert np.abs(seen - expected)[near].max() < 0.008 * expected.max()
    # By how much the profile is wider: the derivative of a Gaussian by its variance.
    slope = expected * (distance / sigma**2 - 2) / (2 * sigma**2)
    wider = slope[near] @ (seen - expected)[near] / (slope[near] @ slope[near])
    assert abs(wider) < 2e-3 * sigma**2


def test_sampling_is_exact_for_smooth_maps():
    y, x = np.indices(SHAPE)
    grid = Grid(*SHAPE, 1)
    rng = np.random.default_rng(2)
    at = rng.uniform(-5, 70, (2, 200))
    spline = sf.irfft2(sf.rfft2(waves(grid, x, y)) * prefilter(SHAPE), SHAPE)
    values = sky_taps(*at, SHAPE) @ spline.ravel()
    np.testing.assert_allclose(values, waves(grid, *at), atol=2e-3)
    samples = np.arange(20.0) ** 3 / 50
    position = rng.uniform(1, 18, 50)
    np.testing.assert_allclose(line_taps(position, 20) @ samples, position**3 / 50, rtol=1e-4)


def test_blocks_of_the_normal_matrix_are_those_of_even_pixels(scene):
    """Pixels on every fine pixel, of all wavelengths: the blocks are the normal matrix."""
    rng, grid, axis, spectra, groups = scene
    y, x = (one.ravel().astype(float) for one in np.indices(SHAPE))
    x, y = np.tile(x, 40), np.tile(y, 40)
    wavelength = rng.uniform(WAVELENGTH[0], WAVELENGTH[-1], len(x))
    pixels_everywhere = PlacedPixels(x, y, wavelength, y.astype(int), np.ones(len(x), bool))
    operator = ExposureOperator(grid, asymmetric_psf(), axis, [pixels_everywhere])
    operator.set_spectra(spectra)
    smooth = groups * np.exp(-5 * grid.gradient_power())[..., None]
    exact = operator.adjoint(operator.forward(smooth))
    gram = operator.gram(np.ones(operator.size), grid.shape[0] * grid.shape[1])
    found = (gram @ smooth[..., None])[..., 0]
    assert np.linalg.norm(found - exact) < 0.2 * np.linalg.norm(exact)


def test_few_modes_stand_for_the_psf():
    psf = asymmetric_psf()
    modes, weights = psf_modes(psf, WAVELENGTH)
    np.testing.assert_allclose(
        np.tensordot(weights, modes, 1), psf.evaluate(WAVELENGTH), atol=2e-4 * psf.data.max()
    )


def test_splines_pass_through_the_channels():
    rng = np.random.default_rng(4)
    axis = ChannelAxis(WAVELENGTH)
    mean, basis = rng.standard_normal(41), rng.standard_normal((41, 2))
    spectra = SplineSpectra.through(axis, mean, basis)
    found = spectra.at(WAVELENGTH)
    np.testing.assert_allclose(found[0], mean, atol=1e-5)
    np.testing.assert_allclose(found[1], basis, atol=1e-5)
    beyond = np.array([WAVELENGTH[0] - 0.02, np.nan, WAVELENGTH[3], WAVELENGTH[-1] + 0.02])
    np.testing.assert_array_equal(axis.covers(beyond), [False, False, True, False])
    with pytest.raises(ValueError, match="must ascend"):
        ChannelAxis(WAVELENGTH[::-1])
    with pytest.raises(ValueError, match="at least four"):
        ChannelAxis(WAVELENGTH[:3])


def test_fine_samples_are_those_of_the_whole_transform():
    """Only the rows and columns that positions need are computed, on and across the border."""
    rng = np.random.default_rng(5)
    rows, columns = SHAPE
    spectrum = sf.rfft2(rng.standard_normal(SHAPE), norm="ortho")
    spectrum[rows // 2] = 0  # the highest frequency of an even size has no sign
    fine = np.zeros((2 * rows, columns + 1), complex)
    fine[: rows // 2, : columns // 2 + 1] = 2 * spectrum[: rows // 2]
    fine[-rows // 2 + 1 :, : columns // 2 + 1] = 2 * spectrum[-rows // 2 + 1 :]
    shape = 2 * rows, 2 * columns
    whole = sf.irfft2(fine * prefilter(shape), shape, norm="ortho").ravel()
    for low, high in ((12, 30), (-5, 40)):
        at = rng.uniform(low, high, (2, 150))
        sampler = FineSampler(SHAPE, *at)
        unit = sampler.transfer(np.ones((1, rows, columns // 2 + 1)))
        found = sampler.taps @ sampler.maps(spectrum, unit)[0]
        np.testing.assert_allclose(found, sky_taps(*(2 * at), shape) @ whole, atol=2e-5)
        assert (sampler.size < whole.size) == (low > 0)


def test_faint_components_pass_fewer_modes_and_nothing_is_lost(scene):
    rng, grid, axis, spectra, groups = scene
    exposure = pixels(rng)
    operator = ExposureOperator(grid, asymmetric_psf(), axis, [exposure])
    operator.set_spectra(spectra)
    brightness = np.array([1.0, 1e-2, 1e-4])
    exact = operator.forward(groups * brightness)
    faint = SplineSpectra(axis, spectra.mean, spectra.basis, brightness)
    operator.set_spectra(faint)
    left = operator.forward(groups * brightness) - exact
    assert np.sqrt(np.mean(left**2)) < 1e-3 * np.std(exact)
    check_adjoint(grid, operator, groups, rng)
    seen = np.concatenate([values for _, _, values in operator.components(groups)])
    basis = faint.at(exposure.wavelength[operator.source[0]])[1]
    # Splines stand for the products of these white spectra and the weights of the modes.
    np.testing.assert_allclose(
        np.sum(seen * basis, axis=1), operator.forward(groups), atol=0.02 * np.std(exact)
    )


def test_information_on_parameters_is_that_of_the_scene_eliminated(scene, monkeypatch):
    """The block solve for the reactions agrees with a solve for each, taken to its end."""
    rng, grid, axis, spectra, groups = scene
    exposures = [pixels(rng), pixels(rng, 5)]
    operator = ExposureOperator(grid, asymmetric_psf(), axis, exposures)
    places = [
        np.concatenate([one.x[i] for one, i in zip(exposures, operator.source, strict=True)]),
        np.concatenate([one.y[i] for one, i in zip(exposures, operator.source, strict=True)]),
    ]
    smooth = groups * np.exp(-3 * grid.gradient_power())[..., None]
    values = rng.standard_normal(operator.size)
    data = PixelData(operator, values, np.full(operator.size, 0.1), *places)
    problem = SceneProblem(grid, spectra, [data], [2.0, 5.0, 1.0])
    kinds = ("x", "y", "gain", "level")
    parameters = [Parameter(kind, ((0, 1),)) for kind in kinds]
    found = Elimination(problem, smooth, parameters, (20.0, 25.0), precision=0.01)
    # One after the other, as where memory is short.
    monkeypatch.setattr(nuisance, "_MEMORY", 1)
    apart = Elimination(problem, smooth, parameters, (20.0, 25.0), precision=0.01)
    np.testing.assert_allclose(apart.errors, found.errors, rtol=0.02)
    part = operator.parts[1]
    slopes = {
        "x": 2j * np.pi * np.fft.rfftfreq(grid.columns)[None, :] * np.ones((grid.rows, 1)),
        "y": 2j * np.pi * np.fft.fftfreq(grid.rows)[:, None] * np.ones((1, grid.half)),
    }
    slopes["x"][:, -1], slopes["y"][grid.rows // 2] = 0, 0
    columns = []
    for kind in kinds:
        column = np.zeros(operator.size)
        if kind in slopes:
            column[part] = operator.forward(smooth, slopes[kind].astype(np.complex64))[part]
        else:
            seen = operator.forward(smooth) + operator.mean(spectra)
            column[part] = seen[part] if kind == "gain" else 1.0
        columns.append(column)
    columns = np.array(columns)
    right = [operator.adjoint(one * data.weights) for one in columns]
    reactions = [
        conjugate_gradients(
            problem.normal,
            one,
            problem.preconditioner(),
            problem.inner,
            tolerance=1e-5,
            max_iterations=300,
        ).solution
        for one in right
    ]
    taken = [[problem.inner(one, other) for other in reactions] for one in right]
    exact = np.linalg.inv(columns * data.weights @ columns.T - np.array(taken))
    ratio = np.linalg.eigvals(np.linalg.solve(exact, found.covariance)).real
    assert 0.93 < ratio.min() <= ratio.max() < 1.01
