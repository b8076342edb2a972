"""`kit doctor`: will it run there? Findings about this machine, a bundle and a device."""
