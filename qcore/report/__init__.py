"""What a run leaves behind: the Report, the library of Reports, and their metrics."""
