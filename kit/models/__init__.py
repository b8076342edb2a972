"""Model families, one file each; see `kit.models._contract`."""
