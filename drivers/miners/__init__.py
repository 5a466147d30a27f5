"""Miners: one file a protocol, each a `rampd.drivers.members.Member`."""
