"""The benchmarks: what spoolq costs, beside what else could be used, in runs that repeat."""
