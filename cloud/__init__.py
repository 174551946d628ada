"""The cloud side: Spatial-MLLM, the worker that answers escalations with it, and the dashboards."""
