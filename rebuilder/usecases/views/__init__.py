"""What people look at, answered from the store by key or by day: no registry and no ARM is asked.

Every answer is bounded; where there is more, it says what gives the rest.
"""
