"""What model files contain, with the encodings and times that are known of them."""
