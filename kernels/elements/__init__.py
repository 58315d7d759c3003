"""Elements of number formats: their values, codes, and how they are rounded."""
