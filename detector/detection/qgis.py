"""Styles inside the GeoPackage, so that QGIS shows it as it is meant without any click."""

from collections.abc import Mapping
from xml.etree import ElementTree as Xml

import pandas as pd

LAYER_STYLES = "layer_styles"
"""The table in which QGIS looks for the style of a layer when it opens a GeoPackage."""

COLOURS = {
    "railcar": "230,97,1",
    "tarped_railcar": "178,24,141",
    "locomotive": "215,25,28",
    "container": "5,113,176",
    "tarped_container": "94,60,153",
}
_DOCTYPE = "<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>"


def style_rows(updated: pd.Timestamp) -> pd.DataFrame:
    """The rows of `layer_styles`, one default style for each layer."""
    styles = {"detections": detections_qml(), "visible_area": visible_area_qml()}
    return pd.DataFrame(
        [
            {
                "f_table_catalog": "",
                "f_table_schema": "",
                "f_table_name": layer,
                "f_geometry_column": "geom",
                "styleName": layer,
                "styleQML": qml,
                "styleSLD": "",
                "useAsDefault": True,
                "description": "railcars",
                "owner": "",
                "ui": None,
                "update_time": updated,
            }
            for layer, qml in styles.items()
        ]
    ).astype({"ui": "str"})


def detections_qml() -> str:
    """QML: an outline in the colour of each class; what is below the threshold thin, dashed and faint.

    Two groups of rules, "detected" and "below the threshold", can be switched off in the layer panel.
    """
    group, rules, symbols = _rule_based()
    for where, label, opacity, width, dash in (
        ('"detected"', "detected", "1", "0.5", "solid"),
        ('NOT "detected"', "below the threshold", "0.45", "0.2", "dash"),
    ):
        parent = Xml.SubElement(rules, "rule", key=f"{{{label}}}", filter=where, label=label)
        for name, colour in COLOURS.items():
            _rule(parent, symbols, f"\"class\" = '{name}'", name.replace("_", " "))
            line = {"outline_color": f"{colour},255", "outline_width": width, "outline_style": dash}
            _outline(symbols, line, opacity)
    tip = "[% class %] [% round(score, 2) %], [% round(length_m, 1) %] m [% flags %]"
    return _qml(group, tip)


def visible_area_qml() -> str:
    """QML: what each scene shows of each facility, as a dotted white outline."""
    group, rules, symbols = _rule_based()
    _rule(rules, symbols, "", "visible part of the facility")
    _outline(symbols, {"outline_color": "255,255,255,255", "outline_width": "0.4", "outline_style": "dot"})
    return _qml(group, "[% facility_id %] [% acquired %]")


def _rule_based() -> tuple[Xml.Element, Xml.Element, Xml.Element]:
    """An empty rule-based renderer, its rules and its symbols."""
    renderer = Xml.Element("renderer-v2", type="RuleRenderer", symbollevels="0", enableorderby="0", forceraster="0")
    return renderer, Xml.SubElement(renderer, "rules", key="{all}"), Xml.SubElement(renderer, "symbols")


def _rule(parent: Xml.Element, symbols: Xml.Element, where: str, label: str) -> None:
    """A rule drawn with the next symbol to be added."""
    number = str(len(symbols))
    condition = {"filter": where} if where else {}
    Xml.SubElement(parent, "rule", condition | {"key": f"{{rule-{number}}}", "symbol": number, "label": label})


def _outline(symbols: Xml.Element, line: Mapping[str, str], opacity: str = "1") -> None:
    """Add a polygon symbol that is all outline."""
    symbol = Xml.SubElement(symbols, "symbol", type="fill", name=str(len(symbols)), alpha=opacity)
    layer = Xml.SubElement(symbol, "layer", {"class": "SimpleFill", "enabled": "1", "locked": "0", "pass": "0"})
    values = {"style": "no", "outline_width_unit": "MM", "joinstyle": "miter", **line}
    options = Xml.SubElement(layer, "Option", type="Map")
    for name, value in values.items():
        Xml.SubElement(options, "Option", name=name, value=value, type="QString")
    for name, value in values.items():  # the same for QGIS before 3.26
        Xml.SubElement(layer, "prop", k=name, v=value)


def _qml(renderer: Xml.Element, hover: str) -> str:
    root = Xml.Element("qgis", version="3.22.0", styleCategories="Symbology|MapTips|Temporal")
    # Once the temporal controller is switched on, features are shown on the day of their acquisition.
    when = {"enabled": "1", "mode": "1", "startField": "acquired", "fixedDuration": "1", "durationUnit": "d"}
    Xml.SubElement(root, "temporal", when | {"accumulate": "0", "limitMode": "0", "durationField": "", "endField": ""})
    root.append(renderer)
    tip = Xml.SubElement(root, "mapTip")
    tip.text = hover
    Xml.indent(root)
    return f"{_DOCTYPE}\n{Xml.tostring(root, encoding='unicode')}"
