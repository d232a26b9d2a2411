"""Text without what differs from run to run: folders, moments, run times, places of modules."""

import re

__all__ = ["plain", "plain_name"]

_MOMENT = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d+)?Z?")
# What is said every ten seconds if something takes that long.
_PROGRESS = re.compile(
    r"^.*(Assembled \d+ of \d+ channels|Imputation: step|Evidence: step|Non-negativity: step|"
    r"Starlets: step|Conjugate gradients: iteration|: iteration \d+, accuracy|"
    r"expected decrease \S+ nats|PSF \d+ of \d+, \d+ s left|Median filter: \d+ of).*\n?",
    re.MULTILINE,
)
# Run times, where they are known to be said.
_TIMES = (
    (re.compile(r"\b(um in|done in|written in|; about) \d+(\.\d+)? s\b"), r"\1 TIME"),
    (re.compile(r"\b\d+ s left\b"), "TIME left"),
    (re.compile(r"; \d+\.\d s$", re.MULTILINE), "; TIME"),
    (re.compile(r"(CPU time of the last solve</td><td>)[^<]*"), r"\1TIME"),
    (re.compile(r"^(  \S.{40,} ) *\d+\.\d$", re.MULTILINE), r"\1TIME"),
    (re.compile(r"^(\S.*: )\d+\.\d s$", re.MULTILINE), r"\1TIME"),
)
_RULES = (
    # modules: of a class its name stays, of a logger nothing
    (re.compile(r"\b(?:stpipe\.)?jwst_fusion(?:\.[a-z_]\w*)+\.([A-Z]\w+)"), r"\1"),
    (re.compile(r"\b(?:stpipe\.)?jwst_fusion(?:\.[a-z_]\w*)+"), "MODULE"),
    # modules in tables of messages
    (re.compile(r"(?<=<tr><td>)[a-z_0-9]+(\.[a-z_0-9]+)+(?=</td>)"), "MODULE"),
    # places in memory
    (re.compile(r" at 0x[0-9a-f]+"), ""),
    # files that are written under another name until they are complete
    (re.compile(r"(^|/)\.\d+\.(?=\w)"), r"\1"),
    # absolute paths: the name of the file stays
    (re.compile(r"(?<![\w.<])(?:/[\w.+~@-]+)+/(?=[\w.])"), ""),
)


# Lists of parameters.
_BLOCK = re.compile(r"(?:^ +\S.*\n)+", re.MULTILINE)


def _sorted(block):
    return "".join(sorted(block[0].splitlines(keepends=True)))


def plain(text, *, log=False, renamed=None):
    """
    Take out of a text what may differ.

    Parameters
    ----------
    text : str
    log : bool
        Whether it is a log or a page: moments, lines on progress and the order of indented lines
        are left out too.
    renamed : dict, optional
        New names by old ones, which are regular expressions for whole words.

    Returns
    -------
    str
    """
    if log:
        text = _PROGRESS.sub("", _MOMENT.sub("MOMENT", text))
        for pattern, instead in _TIMES:
            text = pattern.sub(instead, text)
    for pattern, instead in _RULES:
        text = pattern.sub(instead, text)
    for old, new in (renamed or {}).items():
        text = re.sub(rf"\b(?:{old})\b", new, text)
    return _BLOCK.sub(_sorted, text) if log else text


def plain_name(name):
    """
    Take the folders out of a key that may be a path.

    Parameters
    ----------
    name : str

    Returns
    -------
    str
    """
    return name.rsplit("/", 1)[-1] if name.startswith("/") else name
