"""A node's keys: those that sign and how they change; and custody of those that its subjects' data is sealed by."""
