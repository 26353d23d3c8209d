"""What an operator does to a node other than run it: partners, app keys, its clock.

Each is a function of a data folder, beside a node that may be running; the command line only names them.
"""
