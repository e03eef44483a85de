"""The forms in which people annotate sentences, read and written by one piece of code each.

| Form | File | Holds |
| --- | --- | --- |
| `jsonl` | `.jsonl` | a sentence a line: `tokens` and `ner_tags` or `spans`, or `text` and `entities` |
| `conll` | `.conll` | a word a line, one column of IOB2 tags for each annotator |
| `plain_conll` | any | a word a line, its tag last, in any scheme; the picture in a line `IMGID:` |
| `label_studio` | `.json` | tasks for Label Studio, and its exports of the type JSON |
| `data_sets` | | rows of whatever `datasets` loads, with columns of any name |

`schemes` converts tags of other schemes to IOB2.
All readers yield `sentence.Sentence`s. Lines that hold none go to a `sentence.Faults`, which counts all of them.
"""
