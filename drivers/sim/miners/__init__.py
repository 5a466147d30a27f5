"""Simulated miners: one server a protocol, each a `rampd.drivers.sim.members.Server`."""
