"""Making models: the shipped ones from simulated scans, and others from snapshots of annotated scans.

Simulated: `phantoms` (cases), `augment_*` (patches), `loop`, `export` (a bundle), `assessment` (its card).
Annotated: `datasets` (snapshots), `experiments`, `comparison`, `promotion` (a bundle), `lineage`; `deployment` hands
models to other runtimes. Nothing is imported here: to list snapshots no network is needed.
"""
