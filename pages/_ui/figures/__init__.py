"""Figures on the screen: plotly drawn once and then updated, with downloads in sight."""
