"""The reference service: what a production-ready API looks like to the pipeline."""
