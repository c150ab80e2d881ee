"""What a run of the pipeline costs, before it is run: time, memory and disk of each stage.

counts.py       how many rows and tokens the data has
model.py        how large the backbone is
demand.py       what each stage computes, in operations: training steps, predicted batches, decoding steps, ...
classifiers.py, writers.py, augmentation.py   the stages of each part of the graph
calibration.py  what an operation takes on this machine, from half a minute of short runs
cost.py         demands times calibration, totals, more data

Nothing here is imported by a stage.
"""
