"""What tasks whose samples are texts share."""
