"""The Share page's parts."""
