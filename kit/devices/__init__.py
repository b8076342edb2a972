"""Devices, one file each; see `kit.devices.interface`."""
