"""The one place that knows how foreign text becomes harmless in each output language.

Promises: every function takes any ``str`` (markup, newlines, pipes, quotes, right-to-left marks,
lone surrogates, 10 000 characters) and returns text that its language reads as plain words. No
renderer escapes by hand. A name is shortened for display only; JSON keeps it whole.
"""

from __future__ import annotations

import re

DISPLAY_LIMIT = 96  # characters of one name or cell on a page

MISSING = "–"  # how a missing cell or a NaN reads to a person


def plain(text: str, limit: int = DISPLAY_LIMIT) -> str:
    """One printable line: white space becomes a space, an invisible character its code point.

    Terminal escapes, bidirectional overrides, zero-width characters and lone surrogates are
    invisible; ``<U+202E>`` shows them. A longer text keeps its beginning and its end.
    """
    if not text.isprintable():
        text = "".join(_visible(character) for character in text)
    text = " ".join(text.split())
    return shorten(text, limit)


def shorten(text: str, limit: int = DISPLAY_LIMIT) -> str:
    """A text of at most ``limit`` characters, cut in the middle."""
    if len(text) <= limit:
        return text
    tail = (limit - 1) // 3
    return f"{text[: limit - 1 - tail]}…{text[len(text) - tail :]}"


def _visible(character: str) -> str:
    if character.isprintable():
        return character
    return " " if character.isspace() else f"<U+{ord(character):04X}>"


# what begins a construct within a line of CommonMark, GitHub's maths and emoji codes included; an
# underscore between letters, a bracket that no link opens and a colon alone or before a range of
# numbers are words as they are
_MARKDOWN = re.compile(
    r"([\\`*\[\]<|~$]|(?<![^\W_])_|_(?![^\W_])|:(?!\d+-\d)(?=[\w+-]+:)|&(?=#?\w+;))"
)

# what begins a list, a heading, a quote or a rule at the start of a line
_LINE_START = re.compile(r"^(?:(\d{1,9})(?=[.)](?:\s|$))|(?=([-+=#])(?:\s|$|\2))|(?=>))")


def markdown(text: str, limit: int = DISPLAY_LIMIT) -> str:
    """Text for a markdown paragraph, heading, list item or table cell, also as its first word.

    Besides the syntax, what GitHub makes of plain words is broken: mentions, issue references,
    emoji codes and entities. An address that says ``https://`` stays a link.
    """
    text = _MARKDOWN.sub(r"\\\1", plain(text, limit))
    text = re.sub(r"@(?=\w)|#(?=\d)", "\\g<0>\u2060", text)
    text = _LINE_START.sub(lambda match: f"{match[1] or ''}\\", text)
    return re.sub(r"(?i)\b(www)\.", r"\1\\.", text)


def markdown_code(text: str, limit: int = 400) -> str:
    """Text as a code span that also survives inside a table cell."""
    text = plain(text, limit).replace("|", "¦")
    fence = "`" * (max((len(run) for run in re.findall("`+", text)), default=0) + 1)
    pad = " " if text.startswith("`") or text.endswith("`") or not text else ""
    return f"{fence}{pad}{text}{pad}{fence}"


def html(text: str, limit: int = DISPLAY_LIMIT) -> str:
    """Text for an HTML element or a quoted attribute."""
    from html import escape

    return escape(plain(text, limit), quote=True)


def script_json(document: str) -> str:
    """A JSON document that may stand inside ``<script type="application/json">``."""
    for character, code in (("<", "003c"), (">", "003e"), ("&", "0026")):
        document = document.replace(character, f"\\u{code}")
    document = document.replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
    return re.sub("[\ud800-\udfff]", lambda match: f"\\u{ord(match[0]):04x}", document)


_LATEX = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "%": r"\%",
    "_": r"\_",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    "`": r"\textasciigrave{}",
    "'": r"\textquotesingle{}",
    "[": r"{[}",
    "]": r"{]}",
    "-": r"-{}",
    "−": r"$-$",
    "×": r"$\times$",
    "±": r"$\pm$",
    "≤": r"$\leq$",
    "≥": r"$\geq$",
    "→": r"$\to$",
    "²": r"\textsuperscript{2}",
    "…": r"\ldots{}",
    MISSING: "--",
}


def latex(text: str, limit: int = DISPLAY_LIMIT) -> str:
    """Text for LaTeX's text mode; letters outside ASCII stay (utf8 is LaTeX's default)."""
    escaped = "".join(_LATEX.get(character, character) for character in plain(text, limit))
    return re.sub(r"-\{\}(?!-)", "-", escaped)


# a spreadsheet reads a cell that begins so as a formula; the wide forms are their full-width twins
_FORMULA = re.compile(r"^[\s]*[=+\-@\t\r|%＝＋－＠]")
_NUMBER = re.compile(r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$")


def csv_cell(text: str, limit: int = 32_000) -> str:
    """One CSV field (RFC 4180); what a spreadsheet would run gets a leading apostrophe."""
    text = plain(text, limit)
    if _FORMULA.match(text) and not _NUMBER.match(text):
        text = "'" + text
    if re.search(r'[",;\t\']', text) or text != text.strip():
        return '"' + text.replace('"', '""') + '"'
    return text


def annotation_message(text: str) -> str:
    """The message of a GitHub workflow command; lines are kept, as ``%0A``."""
    lines = "\n".join(plain(line, 2_000) for line in text.splitlines())
    return lines.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def annotation_property(text: str) -> str:
    """A property value (title, file) of a GitHub workflow command."""
    text = plain(text, 200).replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
    return text.replace(":", "%3A").replace(",", "%2C")


def xml_text(text: str, limit: int = 10_000) -> str:
    """Text that XML 1.0 can hold; the XML writer escapes the markup itself."""
    return "\n".join(plain(line, limit) for line in text.splitlines())


def file_stem(text: str, limit: int = 64) -> str:
    """A file name's stem from any text: lower-case letters, digits, dot, dash, underscore."""
    stem = re.sub(r"[^a-z0-9._-]+", "-", text.lower()).strip("-._")
    if len(stem) > limit:
        stem = stem[:limit].rstrip("-._")
    return stem or "model"


def unique_labels(names: list[str]) -> list[str]:
    """Display names that are all different: the second ``x`` becomes ``x (2)``."""
    labels: list[str] = []
    for name in names:
        base = plain(name) or "(no name)"
        label, number = base, 2
        while label in labels:
            label, number = f"{base} ({number})", number + 1
        labels.append(label)
    return labels
