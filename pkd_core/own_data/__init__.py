"""A user's own files, of any common format, as a task: read, looked at, divided and written to data_raw."""
