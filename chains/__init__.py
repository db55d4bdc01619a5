"""The registry of chains: watches the stages through their queries and is never imported by them."""
