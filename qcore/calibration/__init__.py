"""Text through a float network: what its linear layers see."""
