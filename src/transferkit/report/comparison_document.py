"""A comparison as a document."""

from transferkit.compare.comparison import ComparisonResults
from transferkit.report.comparison_tables import write_pairs, write_table
from transferkit.report.document import Document, Section
from transferkit.report.reading_notes import describe_environment, list_notes
from transferkit.report.training_sentences import describe_data, describe_training, describe_weights
from transferkit.report.verdict_sentences import list_banners, list_verdicts
from transferkit.translation import Translator


def write_document(results: ComparisonResults, say: Translator) -> Document:
    """Return the whole report: what can be said, the numbers, and what a reader must know of them."""
    models = results.models
    opening = write_opening(results, say)
    data = describe_data(results.runs, say)
    if results.most_frequent is not None:
        counts = ", ".join(f"{name} {count:,}" for name, count in results.class_counts.items())
        data.append(say("Test images of each class: {counts}.", counts=counts))
    sections = [
        Section(say("Data"), tuple(data)),
        Section(
            say("How each model was trained"), tuple((model.name, describe_training(model, say)) for model in models)
        ),
        Section(
            say("Where the weights came from"),
            tuple((model.name, describe_weights(model.example, say)) for model in models),
        ),
        Section(say("How to read this"), tuple(list_notes(results, say))),
    ]
    if environment := describe_environment(results.runs):
        sections.append(Section(say("Versions and hardware"), (", ".join(environment),)))
    return Document(say.language, opening.title, opening.banners, opening.verdicts, opening.tables, tuple(sections))


def write_opening(results: ComparisonResults, say: Translator) -> Document:
    """Return what can be said and the numbers, without the sections."""
    banners = tuple(list_banners(results, say))
    tables = [write_table(results, say), *([write_pairs(results, say)] if len(results.tests) else [])]
    verdicts = () if banners else tuple(list_verdicts(results, say))
    return Document(say.language, _write_title(results, say), banners, verdicts, tuple(tables))


def _write_title(results: ComparisonResults, say: Translator) -> str:
    names = dict.fromkeys(str(run.dataset.get("name") or "") for run in results.runs)
    dataset = ", ".join(name for name in names if name) or say("unnamed data")
    if len(results.models) == 1:
        return say("One model on {dataset}", dataset=dataset)
    return say("{count} models compared on {dataset}", count=len(results.models), dataset=dataset)
