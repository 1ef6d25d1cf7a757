FROM a
HEALTHCHECK CMD curl -f http://localhost/ || exit 1
HEALTHCHECK cmd ["a", "b"]
