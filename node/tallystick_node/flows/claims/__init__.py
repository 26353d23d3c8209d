"""Claims: issued when a period closes, accepted, taken back, and explained to their subject."""
