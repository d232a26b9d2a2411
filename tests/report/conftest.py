"""Small fusions, right and wrong ones, with their reports."""

import logging
from dataclasses import dataclass
from pathlib import Path

import pytest
from astropy.io import fits


@dataclass(frozen=True)
class Case:
    """Files of one fusion."""

    folder: Path
    product: Path
    report: Path

    @property
    def figures(self):
        return self.report.with_suffix("")

    def read(self):
        from jwst_fusion.report.fused import read_fused

        with fits.open(self.product, memmap=False) as hdus:
            product = read_fused(hdus)
            product.data, product.err, product.dq, product.origin  # noqa: B018
            return product


@pytest.fixture(scope="session")
def fused(tmp_path_factory):
    """Fuse an observation with a fault, once; of some, the step also writes the report."""
    from jwst_fusion.fusion.step import FusionStep
    from jwst_fusion.simulation.faulty import simulate_fault

    cases = {}

    def get(fault):
        if fault not in cases:
            folder = tmp_path_factory.mktemp(fault)
            logging.disable(logging.INFO)
            try:
                association = simulate_fault(folder, fault, shape=(14, 16))
                FusionStep.call(
                    str(association),
                    psf_source="aperture",
                    psf_size=1.6,
                    margin=0.3,
                    save_results=True,
                    save_report=fault in ("none", "dead"),
                    output_dir=str(folder),
                )
            finally:
                logging.disable(logging.NOTSET)
            name = f"fault_{fault}_fused"
            cases[fault] = Case(folder, folder / f"{name}_s3d.fits", folder / f"{name}_report.html")
        return cases[fault]

    return get
