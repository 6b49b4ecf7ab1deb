"""The report: one self-contained page of verdicts, series, pictures, tables, method and provenance."""

from detector.report.page import report

__all__ = ["report"]
