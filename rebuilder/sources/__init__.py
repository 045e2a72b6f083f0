"""The files of build contexts, from git hosts, web servers and registries."""
