"""Hooks of mkdocs: formulas become MathML, and links to files outside docs/ become text.

MathML needs no script, so the pages show formulas without a network. The links work in the repository, but the files
are not part of the built pages.
"""

import html
import re
from pathlib import Path
from typing import Any

from latex2mathml.converter import convert

ROOT = Path(__file__).parents[1]
CONTRIBUTING = "dev/contributing.md"
"""Page made from CONTRIBUTING.md."""


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    r"""Insert CONTRIBUTING.md, replace links that leave docs/ by their text, and `\|` in code of tables by `|`."""
    source = str(page.file.src_uri)
    if source == CONTRIBUTING:
        markdown = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").replace("](docs/", "](../")
        folder = ROOT  # other links of CONTRIBUTING.md start at the root
    else:
        folder = (ROOT / "docs" / source).parent

    def replace(match: re.Match[str]) -> str:
        target = (folder / match[2].partition("#")[0]).resolve()
        inside = target.is_relative_to(ROOT / "docs")
        return match[1] if target.exists() and not inside else match[0]

    markdown = re.sub(r"(?<!!)\[([^\]\n]+)\]\(([^)\s:#]+(?:#[^)\s]*)?)\)", replace, markdown)
    return re.sub(r"^\|.*", _plain_bars, markdown, flags=re.MULTILINE)


def on_page_content(content: str, **_: Any) -> str:
    r"""Convert \(...\) and \[...\] of the arithmatex extension."""
    content = re.sub(r'<span class="arithmatex">\\\((.*?)\\\)</span>', _inline, content, flags=re.DOTALL)
    return re.sub(r'<div class="arithmatex">\\\[(.*?)\\\]</div>', _block, content, flags=re.DOTALL)


def _plain_bars(row: re.Match[str]) -> str:
    r"""A row of a table: GitHub needs `\|` in its code, where Python-Markdown shows the backslash."""
    return re.sub(r"`[^`]+`", lambda code: code[0].replace(r"\|", "|"), row[0])


def _inline(match: re.Match[str]) -> str:
    return convert(html.unescape(match[1]))


def _block(match: re.Match[str]) -> str:
    return f'<div class="formula">{convert(html.unescape(match[1]), display="block")}</div>'
