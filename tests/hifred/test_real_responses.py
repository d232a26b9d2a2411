"""Real OGIP files of Chandra and XMM-Newton, with sherpa's reading of them as the oracle."""

import numpy as np
import pytest

from jwst_fusion.hifred.xray.ogip import read_arf, read_rmf

RMFS = {
    "3c273.rmf": 1,
    "rmf_1024.fits": 1,
    "acisf01575_001N001_r0085_rmf3.fits.gz": 1,
    "epn_ff20_dY9.rmf": 0,
}
ARFS = (
    "3c273.arf",
    "arf_1024.fits",
    "acisf01575_001N001_r0085_arf3.fits.gz",
    "pn_pi_src.arf",
)


@pytest.fixture
def real(data_dir):
    """Function that returns a real file."""

    def find(name):
        path = data_dir / "real" / "xray" / name
        if not path.is_file():
            pytest.skip(f"no {path}")
        return path

    return find


@pytest.mark.parametrize("name", RMFS)
def test_real_matrices_put_photons_where_their_energy_is(real, name, caplog):
    rmf = read_rmf(real(name))
    assert not rmf.contains_area
    assert rmf.first_channel == RMFS[name]
    assert rmf.matrix.data.min() >= 0
    energies = 0.5 * (rmf.energies[1:] + rmf.energies[:-1])
    channels = 0.5 * (rmf.channels[1:] + rmf.channels[:-1])
    seen = (energies > 2.5) & (energies < 7)
    peaks = channels[rmf.matrix.argmax(axis=0).ravel()]
    # to within the grid of the channels and a third of a resolution of 120 to 150 eV
    assert np.abs(peaks - energies)[seen].max() < 0.05
    assert 0.08 < rmf.width_at(5.9) < 0.35
    assert ("set to zero" in caplog.text) == (name == "epn_ff20_dY9.rmf")


@pytest.mark.parametrize("name", ARFS)
def test_real_areas_are_those_of_the_telescopes(real, name):
    arf = read_arf(real(name))
    highest = arf.area.max()
    assert 100 < highest < 1600
    assert 1.0 < arf.energies[arf.area.argmax()] < 5.0


@pytest.mark.slow
@pytest.mark.parametrize("name", [*RMFS, *ARFS])
def test_sherpa_reads_the_same(real, name):
    reader = pytest.importorskip("sherpa.astro.io", reason="sherpa is the oracle of this test")
    path = real(name)
    if name in ARFS:
        oracle, arf = reader.read_arf(str(path)), read_arf(path)
        assert np.allclose(arf.area, oracle.specresp, rtol=1e-6)
        assert np.allclose(arf.energies[:-1], oracle.energ_lo, rtol=1e-5, atol=1e-9)
        return
    oracle, rmf = reader.read_rmf(str(path)), read_rmf(path)
    size = oracle.energ_lo.size
    assert rmf.matrix.shape == (oracle.detchans, size)
    assert np.allclose(rmf.channels[:-1], oracle.e_min, rtol=1e-5, atol=1e-6)
    for column in range(0, size, 7):
        one = np.zeros(size)
        one[column] = 1.0
        ours = rmf.matrix[:, [column]].toarray().ravel()
        theirs = oracle.apply_rmf(one)
        kept = np.clip(theirs, 0, None)
        # without its negative values, the sum as it was
        kept *= theirs.sum() / max(kept.sum(), 1e-30) if (theirs < 0).any() else 1.0
        assert np.allclose(ours, kept, rtol=1e-5, atol=1e-12)
