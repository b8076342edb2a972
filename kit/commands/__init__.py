"""Commands, one file each: parse arguments, call one function, print."""
