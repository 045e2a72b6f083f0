"""The operators' page and its API, whoever serves them: requests in, answers out."""
