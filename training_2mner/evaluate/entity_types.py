"""Bring the entity types of a data set and of a model together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence


def read_mapping(pairs: Iterable[str]) -> dict[str, str]:
    """Read pairs such as `OTHER=MISC`, or `OTHER=` for a type that is left out.

    Raises:
        ValueError: for one of another form, and for a type that is named twice.
    """
    mapping: dict[str, str] = {}
    for pair in pairs:
        name, equals, target = pair.partition("=")
        if not name or not equals or target == "O":
            raise ValueError(f"`map` is {pair!r}; write OTHER=MISC, or OTHER= to leave a type out of the scores.")
        if name in mapping:
            raise ValueError(f"`map` names {name!r} twice; write one pair for each type.")
        mapping[name] = target
    return mapping


def types_of_tags(sentences: Iterable[Sequence[str]]) -> list[str]:
    """The types of IOB2 tags, in the order of their first appearance."""
    return list(dict.fromkeys(tag[2:] for tags in sentences for tag in tags if tag != "O"))


def map_tags(sentences: Iterable[Sequence[str]], mapping: Mapping[str, str]) -> list[list[str]]:
    """The tags with the types of the mapping; those of a type that is left out become `O`."""
    return [[_map_tag(tag, mapping) for tag in tags] for tags in sentences]


def check_types(data: Sequence[str], model: Sequence[str], mapping: Mapping[str, str], name: str) -> list[str]:
    """Find out whether a model can be scored on a data set.

    Args:
        data: the types that the entities of the data have.
        model: those that the model finds.
        mapping: what they count as, in both.
        name: the model's, for the message.

    Returns:
        The types of the model that no entity of the data has, after the mapping.

    Raises:
        ValueError: for types of the data that the model does not know, and for names in the mapping that neither has.
    """
    for source in mapping:
        if source not in (*data, *model):
            raise ValueError(
                f"`map` names {source!r}, but the data set has {_listed(data)} and the model {_listed(model)}; "
                "write one of these before the `=`."
            )
    in_data, in_model = ({mapping.get(kind, kind) for kind in kinds} - {""} for kinds in (data, model))
    unknown = sorted(in_data - in_model)
    if unknown:
        example = next(kind for kind in data if mapping.get(kind, kind) == unknown[0])
        raise ValueError(
            f"the data set has entities of the types {_listed(unknown)}, which `model` {name!r} does not know; it has "
            f"{_listed(model)}. Say what they count as, such as --map {example}={model[0]}, leave them out of the scores "
            f"with --map {example}=, or train a model for them with `train_hf.py --model {name} --new_labels true`."
        )
    return sorted(in_model - in_data)


def _map_tag(tag: str, mapping: Mapping[str, str]) -> str:
    kind = mapping.get(tag[2:], tag[2:])
    return f"{tag[:2]}{kind}" if kind else "O"


def _listed(kinds: Sequence[str]) -> str:
    return ", ".join(kinds) or "none"
