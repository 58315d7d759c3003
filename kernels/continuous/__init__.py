"""Round to minifloats of continuous width and learn the widths: what dMX trains through."""
