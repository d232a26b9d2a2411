"""The messages that the documentation explains are those of the code."""

import re
from pathlib import Path

import pytest

import jwst_fusion

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "troubleshooting.rst").read_text()
# From the first cell of each row: code between double back quotes.
MESSAGES = re.findall(r"``([^`]+)``", "\n".join(re.findall(r"^   \* - (``.*)$", PAGE, re.M)))
CODE = "\n".join(path.read_text() for path in Path(jwst_fusion.__file__).parent.rglob("*.py"))
# Strings broken over lines are one message.
CODE = re.sub(r'"\s*\n\s*f?"', "", CODE)


def test_there_are_messages():
    assert len(MESSAGES) > 90
    cells = re.findall(r"^   \* - (``.*)$", PAGE, re.M)
    assert not [cell for cell in cells if not re.fullmatch(r"``[^`]+``(, ``[^`]+``)*", cell)]
    assert not [message for message in MESSAGES if "{" in message], "not what a user sees"


@pytest.mark.parametrize("message", MESSAGES)
def test_message_exists(message):
    assert message in CODE
