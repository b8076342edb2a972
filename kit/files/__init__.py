"""Files and folders: temporary ones, atomic writes, safe reading."""
