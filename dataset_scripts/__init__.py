"""The data of 2M-NER, from text files and pictures to a published data set. Run from a checkout.

What a user runs, each with `--help`: `build`, `mini`, `audit`, `statistics`, `export`, `publish`.

- what a data set is: `schema`, `language_table`, `rows`, `card`, `example`; how it is written and read: `parquet`,
  `reading`
- text files: `conll`, `conll_released`; pictures: `images`; what is wrong with words: `quality`
- the builder: `settings`, `build_options`, then in the order of the data `sources`, `languages`, `splits`, `urls`, `plan`,
  `shards`, `build`, `build_card`
- the generated data set: `mini` and `mini_*`; checks: `audit` and `audit_*`; counts: `statistics` and `statistics_*`,
  `paper_tables`; before it goes out: `check_folder`
- what all HTML pages share: `page`
"""
