"""Event logs: CSV and XES files → `EventLog`."""
