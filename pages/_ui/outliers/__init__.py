"""The Outliers page's parts."""
