"""The audit ledger: what was changed, by whom and when. It only grows."""
