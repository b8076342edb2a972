"""Devices, one file each; see `kit.devices._contract`."""
