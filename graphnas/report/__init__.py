"""Drawings of cells, figures of a search, and its self-contained HTML report."""

from graphnas.report.drawing import architecture_svg, cell_svg
from graphnas.report.figures import incumbent_curve, latent_map, loss_curve
from graphnas.report.page import compact, draw_figures, write_report

__all__ = [
    "architecture_svg",
    "cell_svg",
    "compact",
    "draw_figures",
    "incumbent_curve",
    "latent_map",
    "loss_curve",
    "write_report",
]
