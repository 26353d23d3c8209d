"""The revisions of custody's database, in their order."""
