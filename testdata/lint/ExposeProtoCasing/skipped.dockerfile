FROM a
# check=skip=ExposeProtoCasing
EXPOSE 80/TCP
EXPOSE 81/UDP
