"""What Microsoft's OpenAPI documents say of what this project sends, and of what its cloud tells.

The schemas stand in `localcloud/arm/schemas`, because the local cloud refuses by them: one truth.
Here stand the answers and the statuses of each operation, and what is known to differ.
"""
