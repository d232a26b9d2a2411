import pytest


@pytest.fixture(autouse=True)
def psf_cache(tmp_path, monkeypatch):
    """A PSF cache of the test's own."""
    folder = tmp_path / "psf_cache"
    monkeypatch.setenv("JWST_FUSION_CACHE", str(folder))
    return folder


@pytest.fixture
def stpsf_path(data_dir, monkeypatch):
    """Data files of STPSF."""
    folder = data_dir / "stpsf-data"
    if not folder.is_dir():
        pytest.skip(f"no STPSF data in {folder}")
    monkeypatch.setenv("STPSF_PATH", str(folder))
    return folder
