"""Receipts: what they permit, in which versions, on whose word, and in other standards' words."""
