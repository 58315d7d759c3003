"""What people paste: tables whose cells stay text, and statistics in llama.cpp's words."""

from __future__ import annotations

from qcore.report.text_tables import latex, markdown
from qcore.report.tokens import QUANTILES, Estimate, TokenStatistics, block


def test_markdown_cells_are_text_whatever_they_contain():
    table = markdown(["Run", "KL"], [["a|b", 0.5], ["<b>*x*\n_y_", "[l](u)"]])
    lines = table.splitlines()
    assert lines[:2] == ["| Run | KL |", "| --- | --- |"]
    assert lines[2] == "| a\\|b | 0.5 |"
    assert lines[3] == "| \\<b\\>\\*x\\* \\_y\\_ | \\[l\\](u) |"


def test_latex_is_a_booktabs_table_with_its_signs_escaped():
    table = latex(["Run", "Size"], [["INT4_g64 & 50 %", "1.5 ± 0.1"]])
    assert table.splitlines() == [
        r"\begin{tabular}{lr}",
        r"\toprule",
        r"Run & Size \\",
        r"\midrule",
        r"INT4\_g64 \& 50 \% & 1.5 $\pm$ 0.1 \\",
        r"\bottomrule",
        r"\end{tabular}",
    ]


def test_a_backslash_in_latex_is_a_sign_and_not_a_command():
    assert r"\textbackslash{}input" in latex(["a"], [["\\input"]])


def test_the_block_says_every_statistic_once_in_llamacpps_words():
    quantiles = {f"{q:g}": q for q in QUANTILES}
    found = TokenStatistics(
        tokens=100,
        kl=Estimate(0.05, 0.001),
        kl_quantiles=quantiles,
        kl_least=-1e-8,
        kl_most=2.5,
        delta_p=Estimate(-0.01, 0.002),
        delta_p_rms=Estimate(0.08, 0.003),
        delta_p_quantiles=quantiles,
        delta_p_least=-0.9,
        delta_p_most=0.4,
        same_top=Estimate(0.9, 0.03),
        perplexity=Estimate(41.2, 1.1),
        float_perplexity=Estimate(36.0, 0.9),
        log_ratio=Estimate(0.135, 0.004),
        correlation=0.987,
    )
    text = block(found)
    assert "Mean    KLD:   0.050000 ±   0.001000" in text
    assert "99.9%   KLD:   0.999000" in text
    assert "Median  KLD:   0.500000" in text
    assert "RMS Δp    :   8.000 ±  0.300 %" in text
    assert "Same top p:  90.000 ±  3.000 %" in text
    assert "Cor(ln(PPL(Q)), ln(PPL(base))):     98.70%" in text
