"""The report: one self-contained page of verdicts, series, pictures, tables, method and provenance, and its plots."""

from detector.report.figures import series, small_multiple, sparkline, sums
from detector.report.page import report
from detector.report.svg import Svg

__all__ = ["Svg", "report", "series", "small_multiple", "sparkline", "sums"]
