"""Queues, tables and blobs of Azure Storage."""
