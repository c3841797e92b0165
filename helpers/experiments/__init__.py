"""What is run for minutes and saved: each file is one command and writes the record of its name."""
