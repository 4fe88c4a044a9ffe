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


def with_everything(config: Config) -> Config:
    """Give a stack that has every service there is: Cortex with an index of its own, and MinIO of its own, too."""
    more = {
        "files": {"kind": "s3", "endpoint": "http://127.0.0.1:9002", "bucket": "thehive"},
        "minio": {"url": "http://127.0.0.1:9002", "data": ["/srv/minio/data"], "config": "/etc/minio"},
        "cortex": {
            "url": "http://127.0.0.1:9001",
            "config": "/etc/cortex",
            "jobs": "/var/lib/cortex/jobs",
            "index": {
                "url": "http://127.0.0.1:9201",
                "config": "/etc/cortex-elasticsearch",
                "data": "/var/lib/cortex-elasticsearch",
            },
        },
    }
    return Config.model_validate({**config.model_dump(mode="json"), **more})
