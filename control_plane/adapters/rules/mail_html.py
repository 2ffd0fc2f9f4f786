"""The two forms of a mail: its text in lines that fit, and the same as HTML in a frame.

Text is escaped as a whole, so nothing that somebody is called becomes markup. No image and nothing
else is fetched from anywhere.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from html import escape
from typing import Final

_WIDTH: Final = 78  # characters (RFC 5322, 2.1.1)
_MARK: Final = re.compile(r"(-|\d{1,3}\.) ")
_FRAME: Final = """<!DOCTYPE html>
<html lang="{locale}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{subject}</title>
</head>
<body style="margin:0;background:#f4f5f7;color:#1d2733;\
font:16px/1.55 -apple-system,'Segoe UI',Roboto,Helvetica,Arial,sans-serif">
<div style="max-width:560px;margin:0 auto;padding:24px 16px">
<p style="margin:0 0 12px;font-weight:600;color:#3d5368">{brand}</p>
<div style="background:#ffffff;border-radius:8px;padding:8px 24px">
{body}
</div>
</div>
</body>
</html>
"""
_BUTTON: Final = (
    "display:inline-block;padding:10px 18px;background:#1f5f8b;color:#ffffff;border-radius:6px;"
    "text-decoration:none;word-break:break-all"
)


@dataclass
class Block:
    """A paragraph, or an item of a list with its mark; a link is a paragraph of its own."""

    words: str
    mark: str = ""
    is_link: bool = False
    after_gap: bool = field(default=False, repr=False)


def blocks_of(text: str, links: Collection[str] = ()) -> list[Block]:
    """Return the blocks of a text: lines that follow each other are one paragraph.

    A line that begins with ``- `` or ``1. `` is an item. Only a line that is one of ``links`` as a
    whole is a link.
    """
    found: list[Block] = []
    gap = True
    for line in text.strip().splitlines():
        words = " ".join(line.split())
        if not words:
            gap = True
            continue
        mark = _MARK.match(words)
        if words in links:
            found.append(Block(words=words, is_link=True, after_gap=gap))
        elif mark:
            found.append(Block(words=words[mark.end() :], mark=mark[1], after_gap=gap))
        elif gap or found[-1].is_link:
            found.append(Block(words=words, after_gap=gap))
        else:
            found[-1].words += f" {words}"
        gap = False
    return found


def as_text(blocks: list[Block]) -> str:
    """Return blocks as lines that fit; a link is never broken."""
    lines: list[str] = []
    for block in blocks:
        if block.after_gap and lines:
            lines.append("")
        if block.is_link:
            lines.append(block.words)
            continue
        first = f"{block.mark} " if block.mark else ""
        lines += textwrap.wrap(
            block.words, _WIDTH, initial_indent=first, subsequent_indent=" " * len(first),
            break_long_words=False, break_on_hyphens=False,
        )  # fmt: skip
    return "\n".join(lines) + "\n"


def as_html(blocks: list[Block]) -> str:
    """Return blocks as markup."""
    return "\n".join(_marked_up(blocks))


def _marked_up(blocks: list[Block]) -> Iterator[str]:
    opened = ""
    for block in blocks:
        wanted = "" if not block.mark else "ul" if block.mark == "-" else "ol"
        if opened and wanted != opened:
            yield f"</{opened}>"
        if wanted and wanted != opened:
            yield f'<{wanted} style="margin:16px 0;padding-left:24px">'
        opened = wanted
        words = escape(block.words)
        if block.mark:
            yield f"<li>{words}</li>"
        elif block.is_link:
            yield f'<p style="margin:16px 0"><a href="{words}" style="{_BUTTON}">{words}</a></p>'
        else:
            yield f'<p style="margin:16px 0">{words}</p>'
    if opened:
        yield f"</{opened}>"


def framed(body: str, *, subject: str, brand: str, locale: str) -> str:
    """Return a whole page around markup that is safe already."""
    return _FRAME.format(body=body, subject=escape(subject), brand=escape(brand), locale=locale)
