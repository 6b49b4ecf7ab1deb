"""Inside the pipeline: what to look at, reading ahead, the loop, and the rows and tables it writes."""
