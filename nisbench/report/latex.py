"""A table of the report in LaTeX, with the rules of booktabs."""

import re

from nisbench.report.document import Entry, Table
from nisbench.report.panels import visible

__all__ = ["latex_table", "latex_text"]

_SPECIAL = {
    "\\": r"\textbackslash{}",
    **{letter: f"\\{letter}" for letter in "&%$#_{}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": "$<$",
    ">": "$>$",
    "|": "$|$",
}
_SYMBOLS = {
    **{
        "α": r"\alpha",
        "β": r"\beta",
        "σ": r"\sigma",
        "τ": r"\tau",
        "ρ": r"\rho",
        "Σ": r"\sum",
        "µ": r"\mu",
        "χ": r"\chi",
    },
    **{"−": "-", "×": r"\times", "±": r"\pm", "∞": r"\infty", "≤": r"\leq", "≥": r"\geq", "≈": r"\approx", "‖": r"\|"},
    **{"·": r"\cdot", "→": r"\to"},
}
_SPACES = {"\N{NARROW NO-BREAK SPACE}": r"\,", "\N{NO-BREAK SPACE}": "~", "…": r"\ldots{}", "–": "--"}
_RAISED = str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789")


def latex_text(text: str) -> str:
    """The text in LaTeX: special characters are escaped, Greek letters, signs and raised digits are mathematics."""
    return "".join(_piece(one) for one in re.findall("[⁻⁰¹²³⁴⁵⁶⁷⁸⁹]+|.", visible(" ".join(text.split()))))


def latex_table(table: Table) -> str:
    """A table environment with the caption above the rows and the notes below them; it needs the package booktabs."""
    columns = "".join("r" if column.numeric else "l" for column in table.columns)
    heads = [f"{one.heading} ({one.unit})" if one.unit else one.heading for one in table.columns]
    notes = [f"$^{{{k}}}$ {latex_text(note)}\\par" for k, note in enumerate(table.notes, 1)]
    lines = [
        r"% needs \usepackage{booktabs}",
        r"\begin{table}",
        rf"\caption{{{latex_text(table.caption)}}}",
        rf"\begin{{tabular}}{{{columns}}}",
        r"\toprule",
        _row([latex_text(head) for head in heads]),
        r"\midrule",
        *(_row([_entry(table, entry) for entry in row]) for row in table.rows),
        r"\bottomrule",
        r"\end{tabular}",
        *([r"\par\footnotesize", *notes] if notes else []),
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def _row(entries: list[str]) -> str:
    return f"{' & '.join(entries)} \\\\"


def _entry(table: Table, entry: Entry) -> str:
    text = latex_text(entry.text)
    text = rf"\textbf{{{text}}}" if entry.tone == "best" else text
    mark = table.mark(entry)
    return f"{text}$^{{{mark}}}$" if mark else text


def _piece(one: str) -> str:
    """One character, or a run of raised digits."""
    if one[0] in "⁻⁰¹²³⁴⁵⁶⁷⁸⁹":
        return f"$^{{{one.translate(_RAISED)}}}$"
    return f"${_SYMBOLS[one]}$" if one in _SYMBOLS else _SPACES.get(one) or _SPECIAL.get(one, one)
