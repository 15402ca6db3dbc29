"""The papers behind the models, for whoever uses them to cite."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Paper:
    """What a citation says, by docs/models.md and CITATION.cff. Long lists of authors end in "others"."""

    key: str
    title: str
    authors: tuple[str, ...]
    year: int
    arxiv: str | None = None
    venue: str | None = None

    @property
    def bibtex(self) -> str:
        """The entry for a bibliography."""
        published = f"booktitle = {{{self.venue}}}" if self.venue else f"journal = {{arXiv:{self.arxiv}}}"
        address = (f"url = {{https://arxiv.org/abs/{self.arxiv}}}",) if self.arxiv else ()
        fields = (
            f"title = {{{self.title}}}",
            f"author = {{{' and '.join(self.authors)}}}",
            published,
            f"year = {{{self.year}}}",
            *address,
        )
        kind = "inproceedings" if self.venue else "article"
        return f"@{kind}{{{self.key},\n" + "".join(f"  {field},\n" for field in fields) + "}"


# By the family's name in the catalogue. Of CLIP's the title is on record nowhere here.
PAPERS = {
    "VideoMAE": Paper(
        key="tong2022videomae",
        title="{VideoMAE}: Masked Autoencoders are Data-Efficient Learners for Self-Supervised Video "
        "Pre-Training",
        authors=("Tong, Zhan", "Song, Yibing", "Wang, Jue", "Wang, Limin"),
        venue="Advances in Neural Information Processing Systems",
        year=2022,
    ),
    "VideoMamba": Paper(
        key="li2024videomamba",
        title="{VideoMamba}: State Space Model for Efficient Video Understanding",
        authors=("Li", "Li", "Wang", "He", "Wang", "Wang", "Qiao"),
        venue="European Conference on Computer Vision",
        year=2024,
        arxiv="2403.06977",
    ),
    "VideoMambaPro": Paper(
        key="lu2024videomambapro",
        title="Snakes and Ladders: Two Steps Up for {VideoMamba}",
        authors=("Lu", "Salah", "Poppe"),
        year=2024,
        arxiv="2406.19006",
    ),
    "X-CLIP": Paper(
        key="ni2022xclip",
        title="Expanding Language-Image Pretrained Models for General Video Recognition",
        authors=("Ni", "Peng", "Chen", "Zhang", "Meng", "Fu", "Xiang", "Ling"),
        venue="European Conference on Computer Vision",
        year=2022,
    ),
    "UniFormerV2": Paper(
        key="li2023uniformerv2",
        title="{UniFormerV2}: Unlocking the Potential of Image {ViTs} for Video Understanding",
        authors=("Li", "Wang", "He", "Li", "Wang", "Wang", "Qiao"),
        venue="IEEE/CVF International Conference on Computer Vision",
        year=2023,
        arxiv="2211.09552",
    ),
    "InternVideo": Paper(
        key="wang2022internvideo",
        title="{InternVideo}: General Video Foundation Models via Generative and Discriminative Learning",
        authors=("Wang", "Li", "Li", "others"),
        year=2022,
        arxiv="2212.03191",
    ),
    "ViCLIP": Paper(
        key="wang2024internvid",
        title="{InternVid}: A Large-scale Video-Text Dataset for Multimodal Understanding and Generation",
        authors=("Wang", "He", "Li", "others"),
        venue="International Conference on Learning Representations",
        year=2024,
        arxiv="2307.06942",
    ),
}
