"""Golden words of the maps that ship, a module a kind of device."""
