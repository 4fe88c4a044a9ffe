"""Elasticsearch and OpenSearch: what they are asked, what lies in their folders, how their files behave."""
