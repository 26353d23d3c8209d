"""A world of one node, its witnesses and its apps under one seed: clock, disk, network, crashes, old backups.

disk     a store that loses or tears what was not flushed
network  exchanges that are lost, repeated, answered to nobody, or arrive much later
witness  cosigns, and dies between remembering and answering
model    what must be true, worked out apart from the product
world    what happens, one step after the other, and what is checked after each

`python -m simulator` (with `tests` on the path) runs seeds until it is stopped; `make simulate` says how.
"""
