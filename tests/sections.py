"""The sections of a configuration that has servers for its database and its index."""

from propolis.config.schema import CassandraConfig, Config, ElasticsearchConfig


def cassandra(config: Config) -> CassandraConfig:
    """Give the section `database`, which is a server here."""
    assert config.cassandra is not None
    return config.cassandra


def elasticsearch(config: Config) -> ElasticsearchConfig:
    """Give the section `index`, which is a server here."""
    assert config.elasticsearch is not None
    return config.elasticsearch
