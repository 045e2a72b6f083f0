"""When operators let things be rebuilt: the policy file, pauses, and the gate that asks both."""
