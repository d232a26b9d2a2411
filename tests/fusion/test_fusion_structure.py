"""Errors follow the structure of the scene around each pixel."""

from dataclasses import replace

import numpy as np
import pytest
import scipy.fft as sf

from jwst_fusion.fusion.engine import fuse
from jwst_fusion.fusion.solver.data import FusionData
from jwst_fusion.fusion.solver.edges import with_edges
from jwst_fusion.fusion.solver.evidence import LocalWeights, maximise_evidence
from jwst_fusion.fusion.solver.grid import Grid
from jwst_fusion.fusion.solver.iterative import WeightedSystem
from jwst_fusion.fusion.solver.map_covariance import logarithmic
from jwst_fusion.fusion.solver.operators import Imager, Spectrometer
from jwst_fusion.fusion.solver.posterior import sum_variances
from jwst_fusion.fusion.solver.rendering import row_covariance
from jwst_fusion.fusion.solver.structure import local_structure, missed_share
from jwst_fusion.fusion.stored_posterior import packed, unpacked

MU = np.array([0.01, 0.1])
ROWS, FACTOR = 16, 3


def gaussian(sigma, shift):
    y, x = np.mgrid[-9:10, -9:10]
    psf = np.exp(-0.5 * ((y - shift) ** 2 + (x + 0.5 * shift) ** 2) / sigma**2)
    return psf[None] / psf.sum()


def white(shape, rng):
    """Structure u, as the prior expects it, and the maps that have it."""
    power = sum(
        (2 - 2 * np.cos(2 * np.pi * np.fft.fftfreq(n))).reshape(one)
        for n, one in zip(shape, ((-1, 1), (1, -1)), strict=True)
    )
    power[0, 0] = np.inf
    u = rng.normal(size=(len(MU), *shape))

    def maps_of(u):
        return sf.ifft2(sf.fft2(u) / np.sqrt(MU[:, None, None] * power)).real

    return u, maps_of


def solved(structure, seed=0, edges=None):
    """System, its truth, the solution, and local weights, for structure of given strength.

    Strength has the shape (Y, X), or (k, Y, X); `edges` are weights (Y, X) of the prior.
    """
    rng = np.random.default_rng(seed)
    grid = Grid(ROWS, ROWS, FACTOR)
    imager = Imager(grid, gaussian(1.2, 1.0), rng.normal(size=(2, 1, 2)))
    spectrometer = Spectrometer(grid, gaussian(2.0, -1.0), 4 * rng.normal(size=(10, 1, 2)))
    u, maps_of = white(grid.shape, rng)
    truth = maps_of(structure * u)
    images = imager.forward(truth)
    rows = spectrometer.forward(truth)
    images = images + rng.normal(size=images.shape)
    rows = rows + rng.normal(size=rows.shape)
    weights = np.ones(images.shape), np.ones(rows.shape[1:])
    system = WeightedSystem(imager, spectrometer, images, weights[0], rows, weights[1])
    local = LocalWeights(*weights)
    if edges is not None:
        system, local = with_edges(system, edges), local.with_prior(edges)
    tuned = maximise_evidence(
        system, local, MU, noise_scales=False, tolerance=0.01, max_iterations=100
    )
    return system, truth, tuned, local


def test_responses_are_what_a_solution_misses():
    system, *_ = solved(np.ones((ROWS * FACTOR,) * 2))
    blocks, part = system.blocks, slice(3, 6)
    weights = (np.array([1.0, 0.5]), 2.0, MU)
    covariance, response = blocks.responses(part, *weights)
    aliases = FACTOR**2
    inverse = np.linalg.inv(blocks.matrices(part, *weights))
    cells = inverse.reshape(3, aliases, 2, aliases, 2)
    np.testing.assert_allclose(covariance, np.einsum("gdadb->gdab", cells), atol=1e-10)
    prior = blocks.penalty(part, MU).reshape(3, -1)
    missed = (inverse * prior[:, None]) @ inverse
    found = np.einsum("gadbe,gadce->gdbc", response, response.conj())
    wanted = np.einsum("gdadb->gdab", missed.reshape(cells.shape))
    np.testing.assert_allclose(found, wanted, atol=1e-10)
    # what is not missed structure is noise: never negative
    assert np.linalg.eigvalsh(covariance - found).min() > -1e-10


def test_a_scene_as_the_prior_expects_it_has_structure_of_one():
    system, _, tuned, local = solved(np.ones((ROWS * FACTOR,) * 2))
    structure = local_structure(system, local, tuned)
    assert structure.amount.mean() == pytest.approx(1, abs=0.15)
    assert structure.amount.min() > 0.15
    share = missed_share(system, structure, None, np.eye(2))
    assert share.shape == (2, 2)
    assert np.all((share > 0) & (share.sum(1, keepdims=True) < 1))


def test_errors_are_small_where_there_is_no_structure():
    side = ROWS * FACTOR
    inside = np.zeros((side, side), bool)
    inside[:, : side // 3] = True
    quiet = np.zeros((side, side), bool)
    quiet[:, side // 2 : -side // 8] = True
    pulls = []
    for seed in range(3):
        system, truth, tuned, local = solved(np.where(inside, 1.0, 0.05), seed)
        structure = local_structure(system, local, tuned)
        assert structure.amount[:, inside].mean() > 3 * structure.amount[:, quiet].mean()
        share = missed_share(system, structure, None, np.eye(2))
        image_weight, cube_weight, mu = structure.weights
        variance, total = np.zeros(2), 0.0
        for _, weight, covariance in system.blocks.covariances(image_weight, cube_weight, mu):
            variance += np.einsum("g,gdaa->a", weight, covariance).real
            total += weight.sum() * FACTOR**2
        plain = np.sqrt(variance / total)
        local = 1 + np.einsum("ab,byx->ayx", share, structure.amount - 1)
        error = system.grid.synthesise(tuned.solution.solution) - truth
        pull = error / plain[:, None, None]
        better = pull / np.sqrt(local)
        pulls.append(
            [np.sqrt(np.mean(p[:, m] ** 2)) for p in (pull, better) for m in (inside, quiet)]
        )
    plain_inside, plain_quiet, inside_, quiet_ = np.mean(pulls, axis=0)
    # one error for all places is too small here and too large there
    assert plain_inside > 1.1
    assert plain_quiet < 0.7
    assert 0.85 < inside_ < 0.8 * plain_inside
    assert 1.5 * plain_quiet < quiet_ < 1.15


def test_a_weight_that_components_share_may_expect_too_much_of_one():
    side = ROWS * FACTOR
    edges = np.ones((side, side))
    edges[:, : side // 2] = 8.0
    edges /= edges.mean()
    # The second component does not have what the weights expect of the right half.
    strength = np.array([1 / np.sqrt(edges), np.full(edges.shape, edges.max() ** -0.5)])
    right = (slice(4, -4), slice(-18, -6))
    pulls = []
    for seed in range(3):
        system, truth, tuned, local = solved(strength, seed, edges)
        assert len(np.unique(local.prior)) > 1
        structure = local_structure(system, local, tuned)
        assert structure.amount.max() == 1
        assert np.median(structure.amount[0]) > 0.7
        assert np.median(structure.amount[1][right]) < 0.6
        # A weaker prior misses more structure.
        assert np.all(structure.missed[:, 20, -12] > structure.missed[:, 20, 12])
        found = row_covariance(system, local, tuned.mu, (1.0, 1.0), None, None)
        variance = np.exp(
            np.einsum("na,nyx->ayx", np.log(np.einsum("naa->na", found)), local.share)
        )
        share = missed_share(system, structure, None, np.eye(2))
        beyond = (structure.amount - 1) * structure.share
        scaled = variance * (1 + np.einsum("ab,byx->ayx", share, beyond))
        error = (system.grid.synthesise(tuned.solution.solution) - truth)[1]
        pulls.append([np.mean(error[right] ** 2 / one[1][right]) for one in (variance, scaled)])
    plain, better = np.sqrt(np.mean(pulls, axis=0))
    assert plain < 0.65
    assert 0.85 < better < 1.15


@pytest.fixture(scope="module")
def result():
    rng = np.random.default_rng(4)
    y, x = np.indices((36, 36))
    image, soft = gaussian(1.0, 0.0), gaussian(2.5, 0.0)
    blob = 40 * np.exp(-0.5 * ((x - 9) ** 2 + (y - 9) ** 2) / 3.0**2)
    spectrum = np.linspace(0.5, 1.5, 30)
    scene = 5 + blob * spectrum[:, None, None]

    def seen(psf):
        padded = np.pad(scene, [(0, 0), (12, 12), (12, 12)], mode="edge")
        size = padded.shape[1:]
        kernel = np.zeros(size)
        kernel[:19, :19] = psf[0]
        kernel = np.roll(kernel, (-9, -9), (0, 1))
        found = sf.ifft2(sf.fft2(padded) * sf.fft2(kernel)).real
        return found[:, 12:-12, 12:-12]

    response = np.full((1, 30), 1 / 30)
    images = np.tensordot(response, seen(image), 1)
    cube = seen(soft)[:, 1::3, 1::3]
    return fuse(
        FusionData(
            cube=cube + 0.2 * rng.standard_normal(cube.shape),
            cube_sigma=np.full(30, 0.2),
            spaxel_weight=np.ones((12, 12)),
            images=images + 0.1 * rng.standard_normal(images.shape),
            image_sigma=np.full(1, 0.1),
            image_weight=np.ones((1, 36, 36)),
            response=response,
            psf_weights=np.ones((30, 1)),
            psf_image=image,
            psf_cube=soft,
            factor=3,
        )
    )


def test_sums_of_one_voxel_have_its_error(result):
    for y, x in ((9, 9), (20, 20), (27, 12)):
        mask = np.zeros((36, 36))
        mask[y, x] = 1
        one = np.sqrt(sum_variances(result.posterior, mask))
        np.testing.assert_allclose(one / result.error[:, y, x], 1, atol=0.3)


def test_few_and_many_sums_agree(result):
    posterior = result.posterior
    rng = np.random.default_rng(2)
    mask = np.zeros((36, 36))
    mask[7:13, 6:12] = rng.random((6, 6))
    weights = rng.normal(size=(20, 30))
    many = sum_variances(posterior, mask, weights)
    few = sum_variances(posterior, mask, weights[:3])
    np.testing.assert_allclose(few, many[:3], rtol=2e-3)
    more = replace(posterior, structure=4 * posterior.structure)
    assert np.all(sum_variances(more, mask, weights) > many)


def test_products_keep_it(result):
    posterior = result.posterior
    arrays = {"posterior_residual": None, "posterior_positions": None}
    arrays |= {"component_spectra": posterior.basis.T} | packed(posterior, mirrored=False)
    back, _ = unpacked(arrays)
    mask = np.ones((36, 36))
    np.testing.assert_allclose(sum_variances(back, mask), sum_variances(posterior, mask), rtol=1e-3)
    part = posterior.cropped(slice(3, 30), slice(6, 36), 3)
    assert part.structure.shape == (posterior.basis.shape[1], 27, 30)


def test_variances_between_amounts_of_data_are_interpolated_logarithmically():
    share = np.array([[[1.0, 0.5, 0.0]], [[0.0, 0.5, 1.0]]])
    variance = np.array([1.0, 1e4])
    found = logarithmic(share, variance) * np.tensordot(variance, share, 1)
    np.testing.assert_allclose(found, [[1.0, 1e2, 1e4]])
