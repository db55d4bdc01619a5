"""Certificates of completeness as documents: written, signed, read and verified without a database or Django."""
