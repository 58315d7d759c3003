"""Round to the values of an element, integer or minifloat, and code them."""
