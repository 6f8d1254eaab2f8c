"""Markdown reads `<word>` as an HTML tag and drops it, so pages and docstrings of the API reference avoid it."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted((ROOT / "docs").rglob("*.md"))
MODULES = sorted({m for page in PAGES for m in re.findall(r"^::: ([\w.]+)$", page.read_text(), re.MULTILINE)})


def dropped(markdown: str) -> list[str]:
    """Return the words in angle brackets that are not code."""
    prose = re.sub(r"```.*?```|`[^`]*`", "", markdown, flags=re.DOTALL)
    return re.findall(r"<(?!https?:)[A-Za-z][^<>\n]*>", prose)


def docstrings(module: str) -> str:
    """Return all strings of a module that stand alone: the documentation of the module, its classes and fields."""
    tree = ast.parse((ROOT / f"{module.replace('.', '/')}.py").read_text(encoding="utf-8"))
    alone = [node.value for node in ast.walk(tree) if isinstance(node, ast.Expr)]
    return "\n".join(node.value for node in alone if isinstance(node, ast.Constant) and isinstance(node.value, str))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_pages_show_all_their_words(page: Path) -> None:
    assert dropped(page.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("module", MODULES)
def test_docstrings_show_all_their_words(module: str) -> None:
    assert dropped(docstrings(module)) == []


def test_the_search_sees_a_word_and_skips_code() -> None:
    assert len(MODULES) > 10
    assert dropped("sum_<ij> s_i `<plan>` <https://x.org> a < b > c") == ["<ij>"]
