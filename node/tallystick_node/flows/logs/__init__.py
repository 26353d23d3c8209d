"""Logs beside each other: keys told, partners followed and witnessed, the next year's begun."""
