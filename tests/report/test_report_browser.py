"""Reports in a browser: they render without an error and fit wide and narrow windows."""

import re
import shutil
import subprocess

import pytest

BROWSER = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
pytestmark = pytest.mark.skipif(
    BROWSER is None, reason="no chromium to render pages with: install the package chromium"
)

WIDTHS = (1280, 400)
# The page in frames of these widths, and what each finds there.
FRAMES = """<!DOCTYPE html><html><body style="margin:0">{frames}
<script>
addEventListener("load", () => {{
  document.title = [...document.getElementsByTagName("iframe")].map(frame => {{
    const page = frame.contentDocument, root = page.documentElement;
    const broken = [...page.images].filter(one => !one.complete || one.naturalWidth === 0);
    return [root.scrollWidth, root.clientWidth, page.images.length, broken.length].join(" ");
  }}).join(", ");
}});
</script></body></html>"""
FRAME = '<iframe src="{page}" style="width:{width}px;height:2000px;border:0"></iframe>'


@pytest.mark.parametrize("kind", ["fused", "pair", "jwst", "joined"])
def test_pages_render_and_do_not_scroll_sideways(fused, pair, whole, tmp_path, kind):
    cases = {"fused": (fused, "dead"), "pair": (pair, "psf"), "jwst": (pair, "jwst")}
    make, *given = cases.get(kind, (whole,))
    page = make(*given).report.as_uri()
    frames = "".join(FRAME.format(page=page, width=width) for width in WIDTHS)
    file = tmp_path / "frames.html"
    file.write_text(FRAMES.format(frames=frames))
    done = subprocess.run(
        [
            BROWSER,
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-background-networking",
            "--allow-file-access-from-files",
            "--enable-logging=stderr",
            f"--user-data-dir={tmp_path / 'profile'}",
            "--window-size=1400,2100",
            "--virtual-time-budget=5000",
            "--dump-dom",
            file.as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=120,
    )
    title = re.search(r"<title>(\d[\d ,]*)</title>", done.stdout)
    assert title, done.stderr[-2000:]
    for width, found in zip(WIDTHS, title[1].split(","), strict=True):
        content, room, images, broken = (int(value) for value in found.split())
        assert room <= width
        assert content <= room
        assert images > 20
        assert broken == 0
    assert "CONSOLE" not in done.stderr
