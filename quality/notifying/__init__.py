"""Tells people of incidents over channels: what is to be told stands in the database first, and is sent from there."""
