"""Methods that turn weights into codes once their scales are known."""
