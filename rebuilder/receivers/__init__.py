"""Those whom messages go to: people by Apprise, machines by CloudEvents over HTTPS."""
