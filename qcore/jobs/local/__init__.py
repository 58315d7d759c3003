"""The embedded job engine: a table in SQLite, one worker process per job."""
