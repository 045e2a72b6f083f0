"""What people and machines are told: rules, what happened, and how it is written for either."""
