"""A board: one HTML file that is a dashboard of its runs, for whoever has a browser."""
