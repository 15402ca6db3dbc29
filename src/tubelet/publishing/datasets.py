"""What data sets are called in full. What the hub calls them is not on record here, so no card says it."""

from tubelet.weights.cards import ALIASES

# By the short names of `weights.cards`.
TITLES = {
    "k400": "Kinetics-400",
    "k600": "Kinetics-600",
    "k700": "Kinetics-700",
    "k710": "Kinetics-710",
    "mit": "Moments in Time V1",
    "ssv1": "Something-Something V1",
    "ssv2": "Something-Something V2",
    "anet": "ActivityNet",
    "hacs": "HACS",
    "ucf101": "UCF101",
    "hmdb51": "HMDB51",
    "in1k": "ImageNet-1K",
    "breakfast": "Breakfast",
    "coin": "COIN",
    "ava": "AVA v2.2",
    "msrvtt": "MSR-VTT",
    "msvd": "MSVD",
    "lsmdc": "LSMDC",
    "vatex": "VATEX",
    "didemo": "DiDeMo",
}


def dataset_title(name: str) -> str:
    """What it is called in a sentence."""
    return TITLES.get(ALIASES.get(name, name), name)


def is_dataset(word: str) -> bool:
    """Whether a word is what a data set is called, in short."""
    return ALIASES.get(word, word) in TITLES
