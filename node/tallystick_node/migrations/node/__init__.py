"""The revisions of the node's database, in their order."""
