"""Tables as the text that people paste: Markdown for issues, LaTeX (booktabs) for papers."""

from __future__ import annotations

from collections.abc import Sequence

_LATEX = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "±": r"$\pm$",
    "−": "$-$",
    "‖": r"$\|$",
    "Δ": r"$\Delta$",
}


def markdown(headers: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A table of Markdown; cells are text whatever they contain."""
    lines = [list(map(_cell, headers)), ["---"] * len(headers)]
    lines += [list(map(_cell, row)) for row in rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def latex(headers: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Write a tabular with the rules of the package booktabs."""
    columns = "l" + "r" * (len(headers) - 1)
    lines = [rf"\begin{{tabular}}{{{columns}}}", r"\toprule", _line(headers), r"\midrule"]
    lines += [_line(row) for row in rows]
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", ""])


def _cell(value: object) -> str:
    text = str(value).replace("\\", "\\\\")
    for sign in "|`*_<>[]":
        text = text.replace(sign, f"\\{sign}")
    return " ".join(text.split())


def _line(row: Sequence[object]) -> str:
    cells = ("".join(_LATEX.get(sign, sign) for sign in str(value)) for value in row)
    return " & ".join(" ".join(cell.split()) for cell in cells) + r" \\"
