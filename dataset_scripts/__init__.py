"""The data of 2M-NER, from text files and pictures to a published data set. Run it from a checkout.

Commands, each with `--help`: `build`, `mini`, `audit`, `label_errors`, `statistics`, `to_conll`,
`publish`, `construct`.

- the form of a data set: `schema`, `rows`, `card`, `example`; writing and reading it: `parquet`,
  `reading`; text files: `conll`, `conll_released`; faults in words: `quality`; new splits: `splits`; the languages of
  mixed files: `languages`; sentences on pages: `marked_sentences`
- `build/`, in the order of the data: `settings`, `sources`, `urls`, `plan`, `pictures`, `shards`, `engine`, `builder`,
  `card`; data of one's own: `own` (settings), `own_sources`, `own_lines`, `own_corpus`, `named_pictures`
- `mini/`: the generated data set, from `text` and `pictures` to `generator`
- `audit/`: `findings` lists the checks, each family of which has its own file; `report` and `page` present the results
- `label_errors/`: suspected label errors, from `sentences` and `signs` to a `ranking`; `judges` are its models
- `statistics/`: `counts`, the tables of the `paper`, `tables` and a `figure`
- `publish/`: `check_folder`, which runs before anything leaves this machine
- `annotations/`: the forms in which people annotate (`forms`), from `sentence` to `label_studio_server`, and how far they
  agree
- `construct/`: a data set made anew from public captions and tweets, a module for each stage
"""
