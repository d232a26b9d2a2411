"""Pictures of docs/report.rst: the tops of reports on right and wrong results, by Chromium.

python benchmarks/figures_report.py [--output docs/images]
"""

import argparse
import logging
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image, ImageChops

from jwst_fusion.simulation.faulty import FAULTS, simulate_fault
from jwst_fusion.simulation.faulty_pairs import simulate_pair_fault
from jwst_fusion.simulation.observation import simulate_exposures
from jwst_fusion.simulation.scenes import nebula
from jwst_fusion.steps.adaptive_trace_model import AdaptiveTraceModelStep
from jwst_fusion.steps.fusion import FusionStep
from jwst_fusion.steps.hifred import HifredStep

WIDTH, HEIGHT = 1000, 1600
COLOURS = 256


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("docs/images"))
    output = parser.parse_args().output
    browser = next(
        filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
    )
    if browser is None:
        sys.exit("no chromium found: install the package chromium")
    logging.disable(logging.INFO)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for fault in FAULTS:
            association = simulate_fault(folder / fault, fault)
            FusionStep.call(
                str(association),
                psf_source="aperture",
                psf_size=2.0,
                # Offsets are taken out otherwise.
                alignment="wcs" if fault == "offset" else "auto",
                save_report=True,
                output_dir=str(folder / fault),
            )
            report = folder / fault / f"fault_{fault}_fused_report.html"
            photograph(browser, report, output / f"report_{fault}.png")
        for fault in ("none", "psf"):
            association = simulate_pair_fault(folder / f"pair_{fault}", fault)
            kept = {"save_report": True, "output_dir": str(association.parent)}
            HifredStep.call(str(association), **kept)
            report = association.parent / f"fault_{fault}_hifred_report.html"
            photograph(browser, report, output / f"report_pair_{fault}.png")
        (path,) = simulate_exposures(folder / "trace", nebula(), dithers=((0.0, 0.0),))
        AdaptiveTraceModelStep.call(
            path, oversample=2.0, save_report=True, output_dir=str(folder / "trace")
        )
        report = next((folder / "trace").glob("*_report.html"))
        photograph(browser, report, output / "report_trace.png")


def photograph(browser, report, picture):
    """Take a picture of title and summary of a page."""
    text = report.read_text(encoding="utf-8")
    page = report.with_name("top.html")
    hidden = "nav, section { display: none !important; }</style>"
    page.write_text(text.replace("</style>", hidden), encoding="utf-8")
    raw = report.with_name("top.png")
    subprocess.run(
        [
            browser,
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-background-networking",
            "--hide-scrollbars",
            f"--window-size={WIDTH},{HEIGHT}",
            f"--screenshot={raw}",
            page.as_uri(),
        ],
        check=True,
        capture_output=True,
    )
    with Image.open(raw) as image:
        image = image.convert("RGB")
    white = Image.new("RGB", image.size, "white")
    bottom = ImageChops.difference(image, white).getbbox()[3]
    image = image.crop((0, 0, WIDTH, min(bottom + 16, HEIGHT)))
    image.quantize(COLOURS, Image.Quantize.MAXCOVERAGE).save(picture, optimize=True)
    print(f"{picture}: {picture.stat().st_size / 1e3:.0f} kB")


if __name__ == "__main__":
    main()
