"""Names and headers from outside stay text in a report."""

import html
import re
import shutil
from html.parser import HTMLParser

import pytest
from astropy.io import fits
from small_inputs import CASES, edited_association, quiet

from jwst_fusion.simulation import crds_offline

SCRIPT = "<script>alert(1)</script>"
HANDLER = "\"'><img src=x onerror=alert(2)>"
MATH = r"$\frac{a$ & {b} %s"
FILE = "<b onclick='x'>\"&_s3d.fits"
KEYS = {"TARGNAME": SCRIPT, "TARGPROP": HANDLER, "PROPOSID": HANDLER, "TITLE": SCRIPT}
KEYS |= {"PROGRAM": MATH, "OBSERVTN": SCRIPT, "PI_NAME": MATH, "DETECTOR": HANDLER}


class Elements(HTMLParser):
    """Elements and attributes of a page."""

    def __init__(self):
        super().__init__()
        self.tags, self.attributes = set(), set()

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}


@pytest.mark.parametrize(("kind", "cube"), [("fusion", "a_s3d.fits"), ("hifred", "fine_s3d.fits")])
def test_names_and_headers_are_text(kind, cube, tmp_path):
    made, output = tmp_path / "made", tmp_path / "out"
    made.mkdir()
    output.mkdir()
    with crds_offline(tmp_path):
        case = quiet(CASES[kind], made)
        with fits.open(made / cube, mode="update", memmap=False) as hdus:
            del hdus["ASDF"]
            hdus[0].header.update(KEYS)
        shutil.move(made / cube, made / FILE)

        def rename(table):
            for member in table["products"][0]["members"]:
                member["expname"] = FILE if member["expname"] == cube else member["expname"]
            table["products"][0]["name"] = "<svg onload=alert(3)>"

        (association,) = made.glob("*_asn.json")
        edited_association(association, rename)
        quiet(case.run, made, output, save_report=True)
    (page,) = output.glob("*_report.html")
    text = page.read_text()
    check(text)
    for one in ("<svg onload=alert(3)>", FILE, *([SCRIPT] if kind == "fusion" else [])):
        assert html.escape(one) in text


def check(text):
    found = Elements()
    found.feed(text)
    assert not found.tags & {"script", "iframe", "svg", "b", "object", "form"}
    assert not [name for name in found.attributes if name.startswith("on")]
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', text)
    assert policy
    assert "default-src 'none'" in policy[1]
    assert "script-src" not in policy[1]
    assert "alert(1)" not in text or "&lt;script&gt;alert(1)" in text
