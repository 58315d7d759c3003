"""What each technique of a run is worth: its waterfall, on the Compare page."""
