"""The data of 2M-NER, from text files and pictures to a published data set. Run from a checkout.

What a user runs, each with `--help`: `build`, `mini`, `audit`, `statistics`, `to_conll`, `publish`.

- what a data set is: `schema`, `language_table`, `rows`, `card`, `example`; how it is written and read: `parquet`,
  `reading`; text files: `conll`, `conll_released`; what is wrong with words: `quality`; new splits: `splits`; the languages
  of mixed files: `languages`
- `build/`, in the order of the data: `settings`, `sources`, `urls`, `plan`, `pictures`, `shards`, `engine`, `builder`, `card`
- `mini/`: the generated data set, from `text` and `pictures` to `generator`
- `audit/`: `findings` lists the checks, one file each family of them has; `report` and `page` say what was found
- `statistics/`: `counts`, beside the tables of the `paper`; `tables` and a `figure`
- `publish/`: `check_folder`, before anything leaves this machine
"""
