"""Blocks of commands in README and documentation, as they stand there."""

import ast
import re
import textwrap
from dataclasses import dataclass

__all__ = ["Block", "blocks_of", "inline_commands"]

#: First words of what is typed into a shell.
SHELL = ("strun", "stpipe", "jwst-fusion", "asn_from_list", "asn_generate", "python", "make", "pip")
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_DIRECTIVE = re.compile(r"^\.\. code-block:: *(\S+)\n(?:[ ]+:.*\n)*\n", re.MULTILINE)
_LITERAL = re.compile(r"^(?!\.\. ).*::\n\n", re.MULTILINE)
_INDENTED = re.compile(r"(?:^\n)(?=    \S)", re.MULTILINE)
_NOT_RUN = re.compile(r"(?:<!-- not run: (.*) -->|^\.\. not run: (.*))\n\s*\Z", re.MULTILINE)
_INLINE = re.compile(rf"``?((?:{'|'.join(SHELL)}) [^`]*)``?")


@dataclass(frozen=True)
class Block:
    """
    A block of a page.

    Attributes
    ----------
    kind : {"shell", "python", "text"}
    text : str
        Without indentation and prompts; of a shell, one command a line.
    line : int
        Where it begins, from 1.
    not_run : str
        Why it is not run, from the comment in front of it; empty: it is run.
    """

    kind: str
    text: str
    line: int
    not_run: str


def blocks_of(page):
    """Return the blocks of a page (README in Markdown, others in reStructuredText), in order."""
    text = page.read_text()
    found = {}
    if page.suffix == ".md":
        for match in _FENCE.finditer(text):
            found[match.start()] = (match[1], match[2])
        starts = [(match.start(), match.end(), "") for match in _INDENTED.finditer(text)]
    else:
        starts = [(m.start(), m.end(), m[1]) for m in _DIRECTIVE.finditer(text)]
        starts += [(m.start(), m.end(), "") for m in _LITERAL.finditer(text)]
    for start, end, language in starts:
        body = _indented(text[end:])
        if body:
            found[start] = (language, body)
    blocks = []
    for start, (language, body) in sorted(found.items()):
        body = textwrap.dedent(body).strip("\n")
        kind = _kind(language, body)
        before = _NOT_RUN.search(text[:start])
        reason = (before[1] or before[2]) if before else ""
        if kind == "shell":
            body = _commands(body)
        blocks.append(Block(kind, body, text.count("\n", 0, start) + 1, reason))
    return blocks


def inline_commands(page):
    """Return commands that a page names within its sentences."""
    return [" ".join(match[1].split()) for match in _INLINE.finditer(page.read_text())]


def _indented(text):
    lines = []
    for line in text.splitlines():
        if line.strip() and not line.startswith("   "):
            break
        lines.append(line)
    return "\n".join(lines).rstrip()


def _kind(language, body):
    if language in ("python", "pycon"):
        return "python"
    if language in ("console", "shell-session", "bash", "sh", "shell"):
        return "shell"
    if language:
        return "text"
    if body.split()[0].lstrip("$") in SHELL or body.startswith("$ "):
        return "shell"
    try:
        ast.parse(body)
    except SyntaxError:
        return "text"
    return "python"


def _commands(body):
    """Join continued lines; of a console with prompts only what is typed."""
    lines = body.replace("\\\n", " ").splitlines()
    prompted = [line[2:] for line in lines if line.startswith("$ ")]
    lines = prompted or lines
    return "\n".join(line.strip() for line in lines if line.strip() and line[0] != "#")
