"""A repository in a folder of another host: a program there serves it over its standard input and output."""
