"""The loop back: escalated bakes with their verdicts in a store, a retrained model, its trial, its promotion.

Order of the files: row_log -> rows -> store -> collector (the gateway's side), review; paired, weighted -> learn;
registry -> commands. Only what learns needs torch, and that lives in `edge.learning`.
"""
