"""The card of an export: how to use it, and how far it is from the original."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from huggingface_hub import ModelCard, ModelCardData

from modeling_2mner.modeling_exported import ExportedConfig
from reports_2mner.files import write_lines
from reports_2mner.markdown import plain, quoted

TEMPLATE = Path(__file__).resolve().parents[2] / "model_cards" / "export_card.md"
KEPT = ("license", "license_name", "license_link", "language", "datasets", "base_model")
TAGS = ["named-entity-recognition", "multimodal"]


def write_card(folder: Path, name: str, config: ExportedConfig, report: dict[str, Any], original: Path | None) -> None:
    """Write the card of an export; licence, languages and data are those that the original's own card states.

    Args:
        folder: where the card goes.
        name: the export's name, which the card's example loads; replace it by the Hub id before uploading.
        config: the export's config.
        report: its parity report.
        original: the folder of the original; without it, or without a card in it, nothing of the original is stated.
    """
    card = original / "README.md" if original else None
    known = ModelCard.load(card).data.to_dict() if card and card.is_file() else {}
    data = ModelCardData(
        library_name="transformers",
        pipeline_tag="token-classification",
        tags=[*TAGS, config.backend],
        **{key: known[key] for key in KEPT if known.get(key)},
    )
    written = ModelCard.from_template(
        data,
        template_path=str(TEMPLATE),
        title=plain(name),
        name=quoted(name),
        kind=plain(config.source_model_type),
        backend=config.backend,
        precision=config.precision,
        has_pictures=config.uses_image,
        tags=", ".join(f"`{label}`" for label in config.labels),
        report=report,
    )
    write_lines(folder / "README.md", str(written).splitlines())
