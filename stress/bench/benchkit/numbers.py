"""Medians and ratios. A run is a dictionary of numbers, some of them in dictionaries."""

import statistics


def merged(runs):
    """The median of each number over the runs, with the smallest and largest of the main ones."""
    if not runs:
        return None
    result = {}
    for key, value in runs[0].items():
        if isinstance(value, dict):
            result[key] = merged([run[key] for run in runs])
        else:
            result[key] = statistics.median(run[key] for run in runs)
    if "iops" in result:
        result["runs"] = len(runs)
        for key in ("iops", "cpu_us_per_request"):
            result[f"{key}_range"] = [min(run[key] for run in runs), max(run[key] for run in runs)]
    return result


def ratio(ours, theirs, key):
    """ours / theirs, or None when either is missing or zero."""
    if not ours or not theirs or not theirs.get(key):
        return None
    return ours[key] / theirs[key]
