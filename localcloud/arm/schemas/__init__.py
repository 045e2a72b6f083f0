"""What Azure's resource providers take and tell: the local cloud's validation, and its tests'.

Written from facts: the names, enumerations and rules of Microsoft's OpenAPI documents, cut to what
is served here. What Azure knows and this cloud does not look into is `Anything`.
"""
