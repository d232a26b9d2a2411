"""More than two observations: one likelihood, normalisations with errors, files, step, report."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from astropy.io import fits

from jwst_fusion.associations.finder import find_associations, write_findings
from jwst_fusion.associations.hifred import collect_hifred_members, make_hifred_association
from jwst_fusion.hifred import HifredOptions, HifredSettings, error_of, fuse
from jwst_fusion.hifred.solver.instrument_data import check_data, joined
from jwst_fusion.hifred.xray.counts import read_counts
from jwst_fusion.hifred.xray.ogip_write import write_rmf
from jwst_fusion.hifred.xray_several import data_from_observations
from jwst_fusion.metrics import nmse
from jwst_fusion.simulation.xray_cluster import ClusterSetup
from jwst_fusion.simulation.xray_observations import (
    FOUR,
    cluster_observations,
    write_observed_cluster,
)
from jwst_fusion.steps.hifred import HifredStep

SETUP = ClusterSetup(
    energies=(6.45, 6.65),
    fine=50,
    coarse=5,
    shape=(20, 20),
    pixels=(10.0, 30.0),
    array=4,
    missing=None,
)
PN, MOS, RESOLVE, SECOND = FOUR
OBSERVATIONS = (
    replace(PN, pixel=10.0, shape=(20, 20)),
    replace(MOS, pixel=12.0, shape=(18, 18), fwhm=15.0),
    replace(RESOLVE, shape=(4, 4), missing=None),
    replace(SECOND, shape=(4, 4), missing=(0, 3)),
)
# Strengths by hand where the figures do not matter: no time is spent on choosing them.
QUICK = {"rank": 5, "mu": 0.02, "errors": False}


def lists(cluster, **changes):
    """Arguments of `fuse` for all observations of a cluster."""
    kinds = cluster.cameras, cluster.calorimeters
    counts = [[one.counts for one in kind] for kind in kinds]
    responses = [[one.response for one in kind] for kind in kinds]
    return *counts, *responses, HifredSettings(**changes)


@pytest.fixture(scope="module")
def cluster():
    return cluster_observations(OBSERVATIONS, SETUP)


@pytest.fixture(scope="module")
def files(cluster, tmp_path_factory):
    return write_observed_cluster(cluster, tmp_path_factory.mktemp("cluster"))


def test_four_observations_are_better_than_two(cluster):
    x, y, response_x, response_y, _ = lists(cluster)
    result = fuse(*lists(cluster))
    two = fuse(x[0], y[0], response_x[0], response_y[0])
    assert result.converged
    truth = cluster.truth
    assert nmse(truth, result.cube, decibel=True) > nmse(truth, two.cube, decibel=True)
    assert two.normalisations is None
    assert [one.shape for one in (*result.model_x, *result.model_y)] == [
        one.shape for one in (*x, *y)
    ]
    # the error of a normalisation is one for every voxel, and may not be lost in the others
    free, fixed = (
        fuse(*lists(cluster, **{**QUICK, "errors": True}, normalisations=kind))
        for kind in ("fitted", "given")
    )
    assert error_of(free, weights=np.ones(50)) > error_of(fixed, weights=np.ones(50))


def test_normalisations_are_found_within_their_errors():
    true, pulls, offsets = np.array([0.95, 1.0, 1.05]), [], []
    for seed in range(1, 11):
        cluster = cluster_observations(OBSERVATIONS, SETUP, seed=seed)
        result = fuse(*lists(cluster, **QUICK))
        assert (result.normalisations[0], result.normalisation_errors[0]) == (1.0, 0.0)
        pulls.append((result.normalisations[1:] - true) / result.normalisation_errors[1:])
        assert (result.normalisation_errors[1:] < 0.02).all()
        offsets.append((result.offsets / np.maximum(result.offset_errors, 1e-9))[1:])
    for scores in (pulls, offsets):
        assert 0.6 < np.sqrt(np.mean(np.square(scores))) < 1.4
        assert np.abs(np.mean(scores)) < 0.6
    # exposure times that nobody knows
    x, y, response_x, response_y, settings = lists(cluster, **QUICK)
    unknown = [one.scaled(1e-4) for one in response_y]
    again = fuse(x, y, response_x, unknown, settings)
    assert again.normalisations[2:] == pytest.approx(1e4 * result.normalisations[2:], rel=3e-3)
    assert again.cube.sum() == pytest.approx(result.cube.sum(), rel=1e-3)


def test_a_pair_in_lists_is_the_pair(cluster):
    x, y, response_x, response_y, settings = lists(cluster, **QUICK)
    pair = fuse(x[0], y[0], response_x[0], response_y[0], settings)
    listed = fuse(x[:1], y[:1], response_x[:1], response_y[:1], settings)
    assert np.array_equal(pair.cube, listed.cube)
    assert np.array_equal(pair.model_x, listed.model_x[0])


def test_an_exposure_in_parts_is_the_exposure(cluster):
    x, y, response_x, response_y, settings = lists(cluster, **QUICK, normalisations="given")
    rng = np.random.default_rng(3)
    first = rng.binomial(x[0].astype(int), 0.3).astype(float)
    parts = [
        response_x[0].scaled(f).replace(background=f * response_x[0].background) for f in (0.3, 0.7)
    ]
    whole = fuse(x[0], y[0], response_x[0], response_y[0], settings)
    split = fuse([first, x[0] - first], y[:1], parts, response_y[:1], settings)
    # the logarithm is continued differently near zero, which voxels without light feel
    assert np.linalg.norm(split.cube - whole.cube) < 1e-4 * np.linalg.norm(whole.cube)
    assert split.rank == whole.rank


def test_joined_observations_are_those_side_by_side(cluster):
    ys = [
        check_data("y", one.counts, one.response, "poisson", None, [])
        for one in cluster.calorimeters
    ]
    both = joined(ys)
    assert joined(ys[:1]) is ys[0]
    flat = cluster.truth.reshape(len(cluster.truth), -1)
    apart = np.hstack([one.response.forward_flat(flat) for one in ys])
    assert both.response.forward_flat(flat) == pytest.approx(apart, rel=1e-12)
    data = np.random.default_rng(1).normal(size=both.data.shape)
    back = both.response.adjoint_flat(data)
    assert (back * flat).sum() == pytest.approx((data * apart).sum(), rel=1e-10)
    assert np.array_equal(both.used, np.hstack([one.used for one in ys]))


def test_full_cubes_and_gaussian_noise(cluster):
    full = fuse(*lists(cluster, regularisation="wavelet_2d1d", max_iterations=60, kappa=3.0))
    assert full.normalisations[1:] == pytest.approx([0.95, 1.0, 1.05], abs=0.03)
    x, y, response_x, response_y, settings = lists(cluster, **QUICK, likelihood="gaussian")
    variances = [[np.maximum(one, 3.0) for one in cubes] for cubes in (x, y)]
    gaussian = fuse(
        x, y, response_x, response_y, settings, variance_x=variances[0], variance_y=variances[1]
    )
    assert gaussian.normalisations[1:] == pytest.approx([0.95, 1.0, 1.05], abs=0.05)


def test_a_fusion_goes_on_with_its_normalisations(cluster, tmp_path):
    begun = fuse(*lists(cluster, **QUICK), checkpoint=tmp_path / "state.npz")
    again = fuse(*lists(cluster, **QUICK), start=tmp_path / "state.npz")
    assert again.iterations <= 2
    assert again.normalisations == pytest.approx(begun.normalisations, rel=1e-3)
    x, y, response_x, response_y, settings = lists(cluster, **QUICK)
    with pytest.raises(ValueError, match="start is a fusion of 4 observations, not 2"):
        fuse(x[0], y[0], response_x[0], response_y[0], settings, start=begun)


def test_lists_that_do_not_fit(cluster):
    x, y, response_x, response_y, settings = lists(cluster, **QUICK)
    with pytest.raises(ValueError, match="x must be a list of 2 arrays"):
        fuse(x[:1], y, response_x, response_y, settings)
    with pytest.raises(ValueError, match="y is an empty list"):
        fuse(x, [], response_x, [], settings)
    with pytest.raises(ValueError, match=r"y\[1\] has 5 channels and y\[0\] 50"):
        fuse(x[:1], [y[0], x[1]], response_x[:1], [response_y[0], response_x[1]], settings)


# ----------------------------------------------------------------------------------------- files


def read(path, **changes):
    members = collect_hifred_members(str(path))
    cubes = [read_counts(cube) for cube in members.cubes]
    options = HifredOptions(**changes)
    return data_from_observations(cubes, members.responses, options, own=members.own)[0]


def test_files_give_the_responses(cluster, files):
    data = read(files, margin=100.0)
    assert data.labels == ["X", "X2", "Y", "Y2"]
    responses = [data.response_x, data.more[0].response, data.response_y, data.more[1].response]
    for one, response in zip(cluster.cubes, responses, strict=True):
        inside = response.mask
        expected = one.response.observe(cluster.truth)
        observed = response.observe(cluster.truth)
        assert observed[inside] == pytest.approx(expected[inside], rel=2e-3)


def test_a_shared_psf_turns_with_the_roll(cluster, files, tmp_path):
    folder = tmp_path / "turned"
    shutil.copytree(files.parent, folder)
    table = json.loads((folder / files.name).read_text())
    members = table["products"][0]["members"]
    psf = np.zeros((9, 9), np.float32)
    psf[4, 4], psf[4, 7] = 0.6, 0.4
    header = fits.Header({"PIXELSCL": 10.0})
    fits.writeto(folder / "lead.fits", psf, header)
    # the second observation is turned by 45 degrees against the first
    turn = np.pi / 4
    light = np.zeros((9, 9), np.float32)
    light[4, 4] = 0.6
    light[round(4 + 3 * np.sin(turn)), round(4 + 3 * np.cos(turn))] = 0.4
    for member in members[2:]:
        member["psf"] = "lead.fits"
    members[3].pop("psf")
    (folder / files.name).write_text(json.dumps(table))
    shared = read(folder / files.name).more[1].response
    centre = np.zeros(shared.shape)
    centre[:, 10, 10] = 1.0
    # light of the second peak lies up and to the right of the source
    back = shared.adjoint(shared.forward(centre) * 0 + 1.0)
    assert back.shape == shared.shape
    fits.writeto(folder / "own.fits", light, header)
    members[3]["psf"] = "own.fits"
    (folder / files.name).write_text(json.dumps(table))
    own = read(folder / files.name).more[1].response
    members[3]["psf"] = "lead.fits"
    (folder / files.name).write_text(json.dumps(table))
    unturned = read(folder / files.name).more[1].response
    images = [one.forward(centre).sum(axis=0) for one in (shared, own, unturned)]
    assert np.abs(images[0] - images[1]).sum() < 0.25 * np.abs(images[2] - images[1]).sum()


def test_the_step_writes_all_observations(files, tmp_path):
    product = HifredStep.call(
        str(files), rank=4, mu=0.02, save_results=True, save_report=True, output_dir=str(tmp_path)
    )
    assert product.header["S_HIFRED"] == "COMPLETE"
    with fits.open(tmp_path / "cluster_hifred.fits") as hdus:
        table = hdus["OBSERVATIONS"].data
        assert list(table["LABEL"]) == ["X", "X2", "Y", "Y2"]
        assert table["NORMALISATION"] == pytest.approx([1.0, 0.95, 1.0, 1.05], abs=0.03)
        assert table["COUNTS"] == pytest.approx(table["EXPECTED"], rel=0.02)
        assert hdus["MODEL_X2"].shape[0] == 5
        assert hdus["MODEL_Y2"].shape == hdus["MODEL_Y"].shape
        assert any("normalisation of Y2" in row["NOTE"] for row in hdus["NOTES"].data)
    page = (tmp_path / "cluster_hifred_report.html").read_text()
    assert "Normalisation" in page
    assert (tmp_path / "cluster_hifred_report" / "field_0_residual_x2.png").is_file()
    assert error_of(tmp_path / "cluster_hifred.fits", weights=np.ones(50)) > 0


def test_associate_finds_cubes_and_responses(files, tmp_path):
    findings = find_associations(files.parent)
    assert [match.kind for match in findings.matches] == ["counts"]
    members = {one.path.name: one.files for one in findings.matches[0].science}
    assert set(members["cluster_mos_counts.fits"]) == {"rmf", "arf", "psf"}
    assert set(members["cluster_pn_counts.fits"]) == {"rmf", "arf"}
    (written,) = write_findings(findings, tmp_path)
    assert read(written).labels == ["X", "X2", "Y", "Y2"]
    assert not find_associations(files.parent, counts=False).matches
    # cameras alone have nothing to be fused with
    alone = tmp_path / "alone"
    alone.mkdir()
    for path in files.parent.glob("cluster_[mp]*"):
        shutil.copy(path, alone)
    found = find_associations(alone)
    assert not found.matches
    assert any("spectral resolution" in reason for reason in found.left_out.values())


# ---------------------------------------------------------------------------------------- faults


def test_an_observation_given_twice_is_refused(files):
    cubes = list(collect_hifred_members(str(files)).cubes)
    with pytest.raises(ValueError, match=r"cluster_pn_counts\.fits is given twice"):
        HifredStep.call([*cubes, cubes[0]])
    opened = [read_counts(cube) for cube in cubes]
    with pytest.raises(ValueError, match="hold the same counts: give each observation once"):
        data_from_observations([*opened, read_counts(cubes[2])], {}, HifredOptions())


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        (
            "CRVAL2",
            30.0,
            "cluster_mos_counts.fits and the part of cluster_pn_counts.fits that is used do not",
        ),
        ("CRVAL3", 3.0, "cluster_mos_counts.fits (2.98 to 3.18 keV) have no energies in common"),
    ],
)
def test_other_fields_and_energies_are_skipped(files, tmp_path, caplog, key, value, message):
    folder = tmp_path / "other"
    shutil.copytree(files.parent, folder)
    with fits.open(folder / "cluster_mos_counts.fits", mode="update") as hdus:
        hdus[0].header[key] = value
    result = HifredStep.call(str(folder / files.name), **QUICK)
    assert result.meta.cal_step.hifred == "SKIPPED"
    assert message in caplog.text


def test_responses_of_other_cameras_are_refused(files, tmp_path):
    folder = tmp_path / "wrong"
    shutil.copytree(files.parent, folder)
    edges = np.linspace(6.3, 6.6, 61)
    write_rmf(folder / "cluster_mos.rmf", np.eye(60), edges, edges)
    with pytest.raises(ValueError, match=r"cluster_mos\.rmf .* but cluster_mos_counts\.fits"):
        HifredStep.call(str(folder / files.name), **QUICK)
    shutil.copy(files.parent / "cluster_mos.rmf", folder)
    for name, telescope in (("cluster_mos.rmf", "XMM"), ("cluster_mos_counts.fits", "CHANDRA")):
        with fits.open(folder / name, mode="update") as hdus:
            for hdu in hdus[:2]:
                hdu.header["TELESCOP"] = telescope
    with pytest.raises(ValueError, match=r"is of CHANDRA, but the RMF cluster_mos\.rmf of XMM"):
        HifredStep.call(str(folder / files.name), **QUICK)


def test_cameras_alone_are_refused(files):
    members = collect_hifred_members(str(files))
    cubes, own = list(members.cubes[:2]), list(members.own[:2])
    cubes += [replace(read_counts(cubes[0]), name="third", counts=read_counts(cubes[0]).counts + 1)]
    own.append(own[0])
    inputs = {"cubes": [*cubes], "own": own}
    with pytest.raises(ValueError, match=r"third have the same spectral resolution .* nothing to"):
        HifredStep.call(inputs, **QUICK)
    with pytest.raises(ValueError, match="exposure_x is for two cubes, but 4 are given"):
        HifredStep.call(str(files), **QUICK, exposure_x=10.0)
    with pytest.raises(ValueError, match="own must have one dictionary for each of 2"):
        HifredStep.call({"cubes": list(members.cubes[:2]), "own": [{}]}, **QUICK)
    with pytest.raises(ValueError, match="lsf: expected some of psf, rmf, arf"):
        make_hifred_association(members.cubes[:2], own=[{"lsf": "a"}, {}])
