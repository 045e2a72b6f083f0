"""What the use cases need from outside, by subject; nothing is exported here a second time."""
