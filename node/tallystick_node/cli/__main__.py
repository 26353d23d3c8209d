"""`python -m tallystick_node.cli`: the same as `tally-node`."""

from tallystick_node.cli import main

main()
