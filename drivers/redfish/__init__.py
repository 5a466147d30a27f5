"""GPU nodes by Redfish: one BMC is one member of a rack."""
