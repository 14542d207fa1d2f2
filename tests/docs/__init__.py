"""What the pages say is so: commands, names and tables."""
