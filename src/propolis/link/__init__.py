"""A link to Propolis on another host: a program whose standard input and output carry frames."""
