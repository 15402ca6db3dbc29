"""What weights made out of others say of where they are from, so that authors and licences are not lost."""

from typing import Any

from tubelet.weights.files import Checkpoint


def made_from(what: str, *parents: Checkpoint) -> dict[str, Any]:
    """The `source` of weights that `what` (a command) made: they are no longer those that anybody published.

    `init` has what is on record of each parent, first of all of the one whose config the result has.
    """
    known = [parent.facts["source"] for parent in parents if parent.facts.get("source")]
    kept = [{key: value for key, value in source.items() if key != "remarks"} for source in known]
    return {"made_by": what, **({"init": kept} if kept else {})}
