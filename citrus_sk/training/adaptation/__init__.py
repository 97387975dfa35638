"""From a linear head for all people to one for a new person, with few labels or none.

Everything works on NumPy arrays: decisions of a linear head (one column for each class, before
they are scaled for the softmax), features, and the person of each window. Imports nothing else of
the package, and no torch.

- `people`: the windows of each person and their means
- `consistency`: whether people have the same classes, from the labels
- `decision`: whether to recentre people, to pool their windows, or neither
- `personal`: a head for one person, from the person's own windows
- `clusters`: windows that resemble each other, where no groups are known
"""
