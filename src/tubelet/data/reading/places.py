"""Where in an answer each of the frames asked for belongs."""

from collections.abc import Sequence


def places_of(indices: Sequence[int]) -> dict[int, list[int]]:
    """For each frame, in growing order, its places in the list of those asked for.

    >>> places_of([7, 2, 7])
    {2: [1], 7: [0, 2]}
    """
    places: dict[int, list[int]] = {index: [] for index in sorted(set(indices))}
    for place, index in enumerate(indices):
        places[index].append(place)
    return places
