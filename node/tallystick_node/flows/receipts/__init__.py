"""Receipts, at the end that asks and at the end where the subject answers."""
