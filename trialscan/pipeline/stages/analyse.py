"""The comparison of the arms: `statistics/results.csv`, its Parquet twin and `statistics/models.json`."""

VERSION = 1
