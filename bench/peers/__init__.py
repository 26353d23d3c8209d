"""What ours is held against: other people's packages where they are installed, and floors.

A floor is the least that can be done and still be called the same work, without a guard, a bound or a second file.
"""
