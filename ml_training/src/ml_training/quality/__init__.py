"""How well a model finds what is unusual: injected anomalies, known ones, and what others find on the same rows.

injection       anomalies of declared kinds, made from real documents before any feature is computed
evaluation_set  the rows that all detectors are judged on
detectors       the baselines
measures        ROC-AUC, average precision, precision at 1 %, bootstrap intervals
labels          known anomalies from a file
comparison      the difference of two detectors on the same resampled rows
verdict         at or above the best baseline, or not
report          the comparison as data, as a page and in the terminal
"""
