"""Capture: reads terminals, saves batches to the inbox together with their cursors, hands them to the workers."""
