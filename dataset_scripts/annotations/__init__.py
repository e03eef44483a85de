"""The forms in which people annotate sentences, read and written by one piece of code each.

| Form | File | Holds |
| --- | --- | --- |
| `jsonl` | `.jsonl` | a sentence a line: `tokens` and `ner_tags` or `spans`, or `text` and `entities` |
| `conll` | `.conll` | a word a line, one column of IOB2 tags for each annotator |
| `label_studio` | `.json` | tasks for Label Studio, and its exports of the type JSON |

All readers yield `sentence.Sentence`s. Lines that hold none go to a `sentence.Faults`, which counts all of them.
"""
