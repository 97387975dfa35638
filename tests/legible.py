"""Whether what a figure says can be read: it is inside the figure, and no two texts overlap."""

import io
from itertools import combinations

SLACK = 2  # pixels


def texts_of(ax):
    """Texts beside the axes: labels of ticks within its limits, title, labels of the axes."""
    found = [ax.title]
    for coordinate, axis in enumerate([ax.xaxis, ax.yaxis]):
        if axis.get_visible():
            low, high = sorted(axis.get_view_interval())
            ticks = axis.get_ticklabels()
            found += [text for text in ticks if low <= text.get_position()[coordinate] <= high]
            found.append(axis.label)
    return [text for text in found if text.get_visible() and text.get_text().strip()]


def assert_legible(figure):
    """Raise AssertionError if texts or legends of a figure overlap or are cut off."""
    figure.savefig(io.BytesIO(), format="png")  # which lays it out
    page, boxes = figure.bbox, []
    for ax in figure.axes:
        if not ax.get_visible() or not ax.axison:
            continue
        boxes += [(text.get_text(), text.get_window_extent()) for text in texts_of(ax)]
        if legend := ax.get_legend():
            boxes.append(("legend", legend.get_window_extent()))
    for name, box in boxes:
        assert box.x0 >= page.x0 - SLACK, f"{name!r} is cut off on the left"
        assert box.x1 <= page.x1 + SLACK, f"{name!r} is cut off on the right"
        assert box.y0 >= page.y0 - SLACK, f"{name!r} is cut off at the bottom"
        assert box.y1 <= page.y1 + SLACK, f"{name!r} is cut off at the top"
    for (one, first), (other, second) in combinations(boxes, 2):
        wide = min(first.x1, second.x1) - max(first.x0, second.x0)
        high = min(first.y1, second.y1) - max(first.y0, second.y0)
        assert min(wide, high) <= SLACK, f"{one!r} and {other!r} overlap"
