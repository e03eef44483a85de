"""Make a multilingual data set of the form of MMNERD from public captions and tweets, one command a stage.

    python -m dataset_scripts.construct tweets WORK --mmnerd MMNERD --only_persons

`settings` holds presets and reads construct.yaml, `records` says what passes between stages, `stages` runs one, `words`
splits sentences; `annotation`, `label_studio` and `agreement` are what the stages with people share. Each stage is a
module of its own name, and one line in `STAGES` of `__main__`. Such a module has

- a docstring, the stage's help: one sentence, an example, and whatever else its user must know
- `Settings`, a frozen dataclass whose fields are made by `reports_2mner.command_line.option`; they become options of the
  command line and keys of construct.yaml, and stand in the manifest
- `run(work, settings, engine) -> manifest`. It calls one of

      work.map_records(STAGE, function, settings, tool, engine)    one part in, one part out: recognise, translate, project
      work.write_records(STAGE, function, settings, inputs, tool)  records from elsewhere: captions, tweets
      work.perform(STAGE, write, settings, inputs, tool)           any files in a new folder: tasks, agree, errors, release

  The inputs of `perform` are `work.inputs(STAGE)` and whatever else is read; `work.records(STAGE)` yields the records.
  `function(records, counts)` yields records, and counts in `counts.removed[reason]` or `counts.added[reason]` each one
  that it leaves out or makes; the runner stops if the sums do not agree. `counts.notes` takes everything else. It must
  be picklable: a function of the module, or a `functools.partial` of one with plain arguments; what is slow to load (a
  network, a pipeline) is loaded in a function with `functools.cache`, once a process. `tool` names program and version.
- optionally `waits(work, settings) -> str | None`: what people have to do before the stage can run; `all` stops there

A stage reads the records of the nearest earlier stage that was run (`Work.givers`), at first those of both sources.
It may add keys to a record (`Record.more`) and removes none. Optional packages are imported inside functions.
"""
