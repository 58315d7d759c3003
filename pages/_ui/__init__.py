"""What the pages share, and a room for each page."""
