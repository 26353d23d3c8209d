"""What a node does, a file for each noun: each flow fetches, asks the floors below, and hands on."""
