"""The bridge: takes the ticks of agents on other machines, each on a thread that is its source's poller."""
