"""Judges stored batches again from their bytes, and corrects the flags of what is stored of them."""
