"""Small campaigns: targets of a few bytes and a step that takes 10 ms."""

import json
import os

import pytest
from campaign_stub import NUMBER


@pytest.fixture
def targets(tmp_path):
    """Associations of six targets."""
    folder = tmp_path / "data"
    folder.mkdir()
    for number in range(NUMBER):
        (folder / f"x{number}_s3d.fits").write_bytes(b"%d" % number)
        member = {"expname": f"x{number}_s3d.fits", "exptype": "science"}
        table = {"products": [{"name": f"t{number}", "members": [member]}]}
        (folder / f"t{number}_asn.json").write_text(json.dumps(table))
    return [str(path) for path in sorted(folder.glob("*_asn.json"))]


@pytest.fixture
def run(targets, tmp_path, monkeypatch, capsys):
    """Run the command on them; gives its status and what it said."""
    from jwst_fusion.command import main as cli

    monkeypatch.chdir(tmp_path)

    def command(*words, output="out"):
        step = ["--step", "campaign_stub.StubStep", "--output", str(tmp_path / output)]
        status = cli.main(["run", *targets, *step, *words])
        said = capsys.readouterr()
        return status, said.out, said.err

    return command


@pytest.fixture
def alone(monkeypatch):
    """Let Dask seem not to be installed."""
    from jwst_fusion.campaign import run

    monkeypatch.setattr(run, "find_spec", lambda name: None)


@pytest.fixture(scope="session")
def scheduler():
    """Address of a scheduler with two workers, each a process."""
    pytest.importorskip("distributed")
    from jwst_fusion.campaign.crew import local_crew

    os.environ.setdefault("OMP_NUM_THREADS", "1")
    with local_crew(2, 2.0, retries=1) as crew:
        yield crew._client.scheduler.address
