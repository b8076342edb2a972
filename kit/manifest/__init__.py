"""What a bundle says about itself, `bundle.json`."""
