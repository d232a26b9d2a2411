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

# The page in a frame of a given width, and what it finds there.
FRAME = """<!DOCTYPE html><html><body style="margin:0">
<iframe id="page" src="{page}" style="width:{width}px;height:2000px;border:0"></iframe>
<script>
addEventListener("load", () => {{
  const page = document.getElementById("page").contentDocument;
  const broken = [...page.images].filter(one => !one.complete || one.naturalWidth === 0).length;
  const root = page.documentElement;
  document.title = [root.scrollWidth, root.clientWidth, page.images.length, broken].join(" ");
}});
</script></body></html>"""


@pytest.mark.parametrize("width", [1280, 400])
@pytest.mark.parametrize("kind", ["fused", "pair", "jwst", "joined"])
def test_pages_render_and_do_not_scroll_sideways(fused, pair, whole, tmp_path, kind, width):
    cases = {"fused": (fused, "dead"), "pair": (pair, "psf"), "jwst": (pair, "jwst")}
    make, *given = cases.get(kind, (whole,))
    frame = tmp_path / "frame.html"
    frame.write_text(FRAME.format(page=make(*given).report.as_uri(), width=width))
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
            frame.as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=120,
    )
    title = re.search(r"<title>(\d+) (\d+) (\d+) (\d+)</title>", done.stdout)
    assert title, done.stderr[-2000:]
    content, room, images, broken = (int(value) for value in title.groups())
    assert room <= width
    assert content <= room
    assert images > 20
    assert broken == 0
    assert "CONSOLE" not in done.stderr
