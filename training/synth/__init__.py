"""Rail-yard scenes with exact truth: a height field and an albedo field, lit, shadowed and sensed.

The way of the data: `yard.draw_yard` (a facility, from a seed) -> `scene.draw_date` (what stands there on a
date, and the conditions) -> `scene.render` (pixels and truth) -> `write.write_scene` (GeoTIFF and GeoJSON).
"""
